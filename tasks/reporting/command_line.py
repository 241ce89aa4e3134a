"""The command line: flags, environment and preset become settings, and the flow's result becomes an exit status."""

import argparse
import difflib
import gc
import importlib.resources
import inspect
import os
import signal
import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from tasks.core import environment
from tasks.core.base_settings import Settings
from tasks.core.environment import STORE_VARIABLE, make_folders, store_address, store_root
from tasks.core.error_messages import describe, is_debugging, print_error
from tasks.core.errors import PipelineError
from tasks.core.paths import printable, user_path
from tasks.core.settings import RunSettings
from tasks.reporting.screen import accept_any_character, print_failures_once
from tasks.store.step_log import unfinished_step

# Prefect and Keras read their folders while they are imported, so a flow imports this module first.
environment.prepare()

Model = TypeVar("Model", bound=Settings)
Result = TypeVar("Result")

PRESETS = {
    path.name.removesuffix(".toml"): path
    for path in (importlib.resources.files("tasks.core") / "presets").iterdir()
    if path.name.endswith(".toml")
}
CASE_STUDY = "case-study"  # has no file: its values are the settings' defaults


class UsageError(Exception):
    """The command line cannot be run; the message has one line per mistake."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises its errors as one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the message and suggest a flag with a similar name."""
        known = [option for action in self._actions for option in action.option_strings]
        for word in message.split():
            near = difflib.get_close_matches(word.partition("=")[0], known, 1) if word.startswith("--") else []
            if near and near[0] != word:
                message += f"; did you mean {near[0]}?"
        raise UsageError(message)


class Flags(BaseSettings):
    """The flags of every command; precedence: flag, environment (IMDB_DATA__MAXLEN), default."""

    model_config = SettingsConfigDict(
        env_prefix="IMDB_",
        env_nested_delimiter="__",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_parse_none_str="none",
        env_parse_none_str="none",
    )

    store: str | None = Field(
        None,
        description="the folder for all that runs leave behind, or s3://BUCKET/PREFIX for what several machines share; "
        f"default: ${STORE_VARIABLE}, else artifacts/",
    )
    debug: bool = Field(False, description="show the traceback of an error")


def preset_names() -> list[str]:
    """Return the names that --preset accepts."""
    return sorted([CASE_STUDY, *PRESETS])


def find_preset(name: str) -> Path | Traversable:
    """Return the file of a named preset, or the TOML file at the path `name`.

    Raises:
        UsageError: there is no such file.
    """
    path = PRESETS.get(name) or user_path(name)
    if not path.is_file():
        raise UsageError(f"--preset {name}: no such preset ({', '.join(preset_names())}) and no such file")
    return path


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset.

    Raises:
        UsageError: there is no such preset, or it is not TOML.
    """
    if name == CASE_STUDY:
        return {}
    try:
        return tomllib.loads(find_preset(name).read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--preset {name}: not a TOML file: {error}") from error
    except OSError as error:
        raise UsageError(f"--preset {name}: cannot be read ({error.strerror})") from error


class PresetSource(PydanticBaseSettingsSource):
    """The settings of the preset that --preset or IMDB_PRESET names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one section of the preset."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the preset's settings."""
        return read_preset(str(self.current_state.get("preset", CASE_STUDY)))


class RunFlags(Flags):
    """The flags of commands that train; a preset ranks between environment and default."""

    preset: str = Field(CASE_STUDY, description=f"a preset's name ({', '.join(preset_names())}) or a TOML file")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the preset below the flags and the environment."""
        return init_settings, env_settings, PresetSource(settings_cls)


def parse_command_line(settings_model: type[Model], arguments: Sequence[str], program: str, about: str) -> Model:
    """Return the settings that flags, environment and preset give.

    Args:
        settings_model: its fields become flags.
        arguments: the command line without the program's name.
        program: the program's name.
        about: the description in `--help`.

    Raises:
        UsageError: with one line per mistake.
        SystemExit: after `--help`.
    """
    for text in [*arguments, *(value for name, value in os.environ.items() if name.startswith("IMDB_"))]:
        if printable(text) != text:
            raise UsageError(f"{printable(text)}: is in another encoding than this terminal's, "
                             f"{sys.getfilesystemencoding()}; rename the file, or set PYTHONUTF8=1")  # fmt: skip
    common = RunFlags if issubclass(settings_model, RunSettings) else Flags
    flags = cast(type[Flags], create_model("CommandLine", __base__=(settings_model, common)))
    parser = Parser(prog=program, description=about, allow_abbrev=False)
    source = CliSettingsSource[Any](flags, root_parser=parser, cli_parse_args=list(arguments))
    try:
        parsed = flags(_cli_settings_source=source)
    except ValidationError as error:
        raise UsageError("\n".join(describe_mistake(mistake, settings_model) for mistake in error.errors())) from error
    except SettingsError as error:
        raise UsageError(f"{error}: {error.__cause__}") from error
    named = parsed.store or str(store_root())
    if named.rstrip("/") != store_address() and user_path(named).absolute() != store_root():
        raise UsageError(f"IMDB_STORE is not read; name the store with --store or {STORE_VARIABLE}")
    return settings_model.model_validate({name: getattr(parsed, name) for name in settings_model.model_fields})


def describe_mistake(mistake: ErrorDetails, settings_model: type[Settings]) -> str:
    """Return one line for an invalid setting: the flag, its value and the reason."""
    flag = "--" + ".".join(str(part).replace("_", "-") for part in mistake["loc"])
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        section = settings_model.model_fields.get(str(mistake["loc"][0]))
        known = list(getattr(section.annotation, "model_fields", {})) if section else list(settings_model.model_fields)
        near = difflib.get_close_matches(str(mistake["loc"][-1]), known, 1)
        return f"{flag}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    given = mistake["input"]
    shown = f" {given}" if isinstance(given, str | int | float) and "://" not in str(given) else ""
    return f"{flag}{shown}: {message[0].lower()}{message[1:]}"


def run_flow(
    flow: Callable[[Model], Result],
    settings_model: type[Model],
    show: Callable[[Result], int],
    check: Callable[[Model], None] = lambda _settings: None,
) -> int:
    """Run a flow with the settings of this process's command line.

    Args:
        flow: called with the settings.
        settings_model: the flow's settings; its fields become flags.
        show: prints the flow's result and returns the exit status.
        check: raises before anything starts if the settings name files that cannot be read or written.

    Returns:
        The exit status: that of `show`, 1 if a step failed, 2 if the command line is invalid, 130 or 143 after a
        signal.
    """
    # Importing Prefect takes two seconds, which a command without a flow does not need.
    from tasks.reporting.preflight import check_server, check_store

    program = Path(sys.argv[0]).name
    accept_any_character()
    try:
        settings = parse_command_line(settings_model, sys.argv[1:], program, inspect.getdoc(flow) or "")
        make_folders()
        check(settings)
        print_failures_once()
        check_store(warn=lambda message: print_error(program, message))
        check_server(warn=lambda message: print_error(program, message))
    except (UsageError, PipelineError) as error:
        return refuse(program, error)
    # Prefect marks the run and passes SIGTERM on; an exit, unlike the signal's default, also stops its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return exit_status(program, lambda: show(flow(settings)))


def refuse(program: str, error: Exception) -> int:
    """Print why the command line cannot be run, and return the exit status 2."""
    if is_debugging():
        traceback.print_exc()
    print_error(f"{program}: error", str(error))
    return 2


def exit_status(program: str, work: Callable[[], int], subject: str = "the run") -> int:
    """Do the work and return its exit status; print an error in one line as "`subject` failed"."""
    try:
        status = work()
        print(end="", flush=True)
        return status
    except KeyboardInterrupt:
        print_error(program, "interrupted; finished steps and epochs are kept, run again to go on")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has closed the pipe; without this Python would fail again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if is_debugging():
            traceback.print_exc()
        print_error(program, f"{unfinished_step() or subject} failed: {describe(error)}")
        return 1
    finally:
        # Python's last garbage collection would visit all of TensorFlow's objects, which takes two seconds.
        gc.freeze()
