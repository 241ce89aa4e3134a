"""The command line: flags, environment and presets to settings, mistakes in one line each, and what a run came to."""

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
from typing import Any, NoReturn, TypeVar

from pydantic import Field, ValidationError
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
from tasks.core.error_messages import describe, is_debugging, say
from tasks.core.errors import PipelineError
from tasks.core.flow_settings import (
    CompareSettings,
    ExportSettings,
    HousekeepingSettings,
    PredictSettings,
    PromoteSettings,
)
from tasks.core.paths import printable, user_path
from tasks.core.settings import RunSettings
from tasks.reporting.screen import accept_any_character, say_failures_once
from tasks.store.step_log import unfinished_step

# Prefect and Keras read where they live while they are imported, so a flow imports this module first.
environment.prepare()

Chosen = TypeVar("Chosen", bound=Settings)
Result = TypeVar("Result")

PRESETS = {
    path.name.removesuffix(".toml"): path
    for path in (importlib.resources.files("tasks.core") / "presets").iterdir()
    if path.name.endswith(".toml")
}
CASE_STUDY = "case-study"  # the preset that has no file: it is what the settings' defaults say


class Mistake(Exception):
    """What the user typed cannot be run; one line for each thing to mend."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the message, with the flag that was probably meant."""
        known = [option for action in self._actions for option in action.option_strings]
        for word in message.split():
            near = difflib.get_close_matches(word.partition("=")[0], known, 1) if word.startswith("--") else []
            if near and near[0] != word:
                message += f"; did you mean {near[0]}?"
        raise Mistake(message)


class CommandLine(BaseSettings):
    """What every command line has: settings as flags, the environment below them, and the store."""

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
    """Return the presets that have a name."""
    return sorted([CASE_STUDY, *PRESETS])


def find_preset(name: str) -> Path | Traversable:
    """Return a preset's file.

    Args:
        name: a file in tasks/core/presets without its ending, or a path to a TOML file.

    Raises:
        Mistake: there is none.
    """
    path = PRESETS.get(name) or user_path(name)
    if not path.is_file():
        raise Mistake(f"--preset {name}: no such preset ({', '.join(preset_names())}) and no such file")
    return path


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings that a preset gives; those of the case study are the defaults.

    Raises:
        Mistake: there is no such preset, or it is not TOML.
    """
    if name == CASE_STUDY:
        return {}
    try:
        return tomllib.loads(find_preset(name).read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Mistake(f"--preset {name}: not a TOML file: {error}") from error
    except OSError as error:
        raise Mistake(f"--preset {name}: cannot be read ({error.strerror})") from error


class PresetSource(PydanticBaseSettingsSource):
    """The settings of the preset that a flag or the environment names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one section of the preset."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the preset's settings.

        Raises:
            Mistake: there is no such preset, or it is not TOML.
        """
        return read_preset(str(self.current_state.get("preset", CASE_STUDY)))


class RunCommandLine(RunSettings, CommandLine):  # type: ignore[misc]
    """Settings of a run as flags; precedence: flag, environment (IMDB_DATA__MAXLEN), preset, default."""

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


class CompareCommandLine(CompareSettings, RunCommandLine):  # type: ignore[misc]
    """Settings of a comparison as flags; --preset gives what its cells share."""


class HousekeepingCommandLine(HousekeepingSettings, CommandLine):  # type: ignore[misc]
    """Settings of housekeeping as flags."""


class PromoteCommandLine(PromoteSettings, CommandLine):  # type: ignore[misc]
    """Settings of a promotion by hand as flags."""


class PredictCommandLine(PredictSettings, CommandLine):  # type: ignore[misc]
    """What to score as flags."""


class ExportCommandLine(ExportSettings, CommandLine):  # type: ignore[misc]
    """Which model to write as flags."""


def parse_command_line(
    command_line: type[CommandLine], settings: type[Chosen], arguments: Sequence[str], program: str, about: str
) -> Chosen:
    """Return the settings that flags, environment and preset give.

    Args:
        command_line: the settings as flags.
        settings: the settings alone.
        arguments: what stands after the program's name.
        program: the program's name.
        about: what `--help` says of the program.

    Raises:
        Mistake: with one line for each mistake.
        SystemExit: after `--help`.
    """
    for text in [*arguments, *(value for name, value in os.environ.items() if name.startswith("IMDB_"))]:
        if printable(text) != text:
            raise Mistake(f"{printable(text)}: is in another encoding than this terminal's, "
                          f"{sys.getfilesystemencoding()}; rename the file, or set PYTHONUTF8=1")  # fmt: skip
    parser = Parser(prog=program, description=about, allow_abbrev=False)
    flags = CliSettingsSource[Any](command_line, root_parser=parser, cli_parse_args=list(arguments))
    try:
        parsed = command_line(_cli_settings_source=flags)
    except ValidationError as error:
        raise Mistake("\n".join(describe_mistake(mistake, settings) for mistake in error.errors())) from error
    except SettingsError as error:
        raise Mistake(f"{error}: {error.__cause__}") from error
    named = parsed.store or str(store_root())
    if named.rstrip("/") != store_address() and user_path(named).absolute() != store_root():
        raise Mistake(f"IMDB_STORE is not read; name the store with --store or {STORE_VARIABLE}")
    return settings.model_validate({name: getattr(parsed, name) for name in settings.model_fields})


def describe_mistake(mistake: ErrorDetails, settings: type[Settings]) -> str:
    """Return one line for a value that a setting cannot hold: the flag, what was given, what is wrong."""
    flag = "--" + ".".join(str(part).replace("_", "-") for part in mistake["loc"])
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        section = settings.model_fields.get(str(mistake["loc"][0]))
        known = list(getattr(section.annotation, "model_fields", {})) if section else list(settings.model_fields)
        near = difflib.get_close_matches(str(mistake["loc"][-1]), known, 1)
        return f"{flag}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    given = mistake["input"]
    shown = f" {given}" if isinstance(given, str | int | float) and "://" not in str(given) else ""
    return f"{flag}{shown}: {message[0].lower()}{message[1:]}"


def run_from_command_line(
    flow: Callable[[Chosen], Result],
    command_line: type[CommandLine],
    settings: type[Chosen],
    show: Callable[[Result], int],
    check: Callable[[Chosen], None] = lambda _settings: None,
) -> int:
    """Run `flow` with the settings on this process's command line, and show what it came to.

    Args:
        flow: takes settings.
        command_line: the settings as flags.
        settings: the settings alone.
        show: prints the flow's result and returns the exit status.
        check: refuses, before anything is started, settings that name places which cannot be read or written.

    Returns:
        The exit status: what `show` returns, 1 when a step failed, 2 when the command line cannot be run, or
        130 or 143 when a signal stopped it.
    """
    # Prefect takes two seconds to be imported, which a command that starts no flow does not pay.
    from tasks.reporting.preflight import check_server, check_store

    program = Path(sys.argv[0]).name
    accept_any_character()
    try:
        chosen = parse_command_line(command_line, settings, sys.argv[1:], program, inspect.getdoc(flow) or "")
        make_folders()
        check(chosen)
        say_failures_once()
        check_store(warn=lambda message: say(program, message))
        check_server(warn=lambda message: say(program, message))
    except (Mistake, PipelineError) as mistake:
        return refuse(program, mistake)
    # Prefect marks the run and hands SIGTERM on; an exit, unlike the signal's default, stops its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return carry_out(program, lambda: show(flow(chosen)))


def refuse(program: str, mistake: Exception) -> int:
    """Say why the command line cannot be run, and return the exit status."""
    if is_debugging():
        traceback.print_exc()
    say(f"{program}: error", str(mistake))
    return 2


def carry_out(program: str, work: Callable[[], int], subject: str = "the run") -> int:
    """Do the work and return the exit status; an error is printed in one line, as `subject` failed."""
    try:
        status = work()
        print(end="", flush=True)
        return status
    except KeyboardInterrupt:
        say(program, "interrupted; finished steps and epochs are kept, run again to go on")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read the output has read enough; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if is_debugging():
            traceback.print_exc()
        say(program, f"{unfinished_step() or subject} failed: {describe(error)}")
        return 1
    finally:
        # Python's last act is to look through all objects for garbage, two seconds with TensorFlow's among them.
        gc.freeze()
