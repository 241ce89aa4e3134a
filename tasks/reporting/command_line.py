"""The command line: flags, environment and preset become settings, and the flow's result becomes an exit status."""

import argparse
import difflib
import gc
import inspect
import json
import os
import re
import signal
import sys
import threading
import tomllib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, EnvSettingsSource, SettingsConfigDict, SettingsError
from pydantic_settings import PydanticBaseSettingsSource as Source

from tasks.core import environment
from tasks.core.base_settings import Settings
from tasks.core.environment import STORE_VARIABLE, make_folders
from tasks.core.errors import PipelineError, UsageError, describe, is_debugging, print_error
from tasks.core.optional_imports import hide_pandas_from_arrow
from tasks.core.run_settings import RunSettings
from tasks.core.user_paths import user_path
from tasks.reporting.flag_errors import PREFIX, describe_mistake, is_flag, variables_read
from tasks.reporting.terminal_output import accept_any_character, print_failures_once, show_plans
from tasks.store.fingerprint import StepPlan
from tasks.store.step_log import unfinished_step

# Prefect and Keras read their folders while they are imported, so a flow imports this module first.
environment.prepare()

Model = TypeVar("Model", bound=Settings)
Result = TypeVar("Result")

PRESETS = {path.stem: path for path in (environment.PROJECT / "tasks" / "core" / "presets").glob("*.toml")}
CASE_STUDY = "case-study"  # has no file: its values are the settings' defaults
PRESET_NAMES = ", ".join(sorted([CASE_STUDY, *PRESETS]))


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
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_parse_none_str="none",
        env_parse_none_str="none",
        cli_shortcuts={"evaluation.metric": "metric", "auto.minutes": "minutes"},
    )

    store: str | None = Field(
        None,
        description="the folder for all that runs leave behind, or s3://BUCKET/PREFIX for what several machines share; "
        f"default: ${STORE_VARIABLE}, else artifacts/",
    )
    debug: bool = Field(False, description="show the traceback of an error")
    dry_run: bool = Field(False, description="show what would be done, and why, and do nothing")
    json_: bool = Field(False, alias="json", description="print JSON; with --dry-run, --list and --text")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, env_settings: Source, *_: Source, **__: Source
    ) -> tuple[Source, ...]:
        """Read our own variables only; a preset ranks below the flags and the environment."""
        own = {name.lower(): os.environ[name] for name in variables_read(settings_cls).values()}
        cast(EnvSettingsSource, env_settings).env_vars = own
        preset = [PresetSource(settings_cls)] if "preset" in settings_cls.model_fields else []
        return init_settings, env_settings, *preset


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset, by its name or the path of a TOML file or a run's config.json.

    Raise UsageError if there is none, or it cannot be read.
    """
    if name == CASE_STUDY:
        return {}
    path = PRESETS.get(name) or user_path(name)
    if not path.is_file():
        raise UsageError(f"--preset {name}: no such preset ({PRESET_NAMES}) and no such file")
    kind, read = ("JSON", json.loads) if path.suffix == ".json" else ("TOML", tomllib.loads)
    try:
        return {**read(path.read_text("utf-8-sig"))}
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"--preset {name}: cannot be read as {kind} ({error})") from error


class PresetSource(Source):
    """The settings of the preset that --preset or IMDB_PRESET names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one section of the preset."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the preset's settings."""
        return read_preset(str(self.current_state.get("preset", CASE_STUDY)))


class RunFlags(Flags):
    """The flags of commands that train; a preset ranks between environment and default."""

    preset: str = Field(CASE_STUDY, description=f"a preset ({PRESET_NAMES}), a TOML file, or a run's config.json")


def parse_flags(settings_model: type[Model], arguments: Sequence[str], program: str, about: str) -> tuple[Model, Flags]:
    """Return the settings, whose fields become flags, and the common flags that flags, environment and preset give.

    `arguments` exclude the program's name; `about` is the description in `--help`, without its Args. Raise UsageError
    with one line per mistake, SystemExit after `--help`. The first source that has a value counts:

        flag       `CliSettingsSource`; `environment.prepare` has read --store and --debug before, for imports
        variable   pydantic's source, given those that `variables_read` finds (`settings_customise_sources`)
        preset     `PresetSource`, for commands that train, named by --preset or IMDB_PRESET
        default    the field's own
    """
    common = RunFlags if issubclass(settings_model, RunSettings) else Flags
    flags = cast(type[Flags], create_model("CommandLine", __base__=(settings_model, common)))
    variables = {loc: name for loc, name in variables_read(flags).items() if not is_flag(loc, arguments)}
    if ("store",) in variables:
        raise UsageError(f"IMDB_STORE is not read; name the store with --store or {STORE_VARIABLE}")
    parser = Parser(prog=program, description=about.partition("\n\nArgs:")[0], allow_abbrev=False)
    try:
        source = CliSettingsSource[Any](flags, root_parser=parser, cli_parse_args=list(arguments))
        parsed = flags(_cli_settings_source=source)
    except ValidationError as error:
        flag, variable = source.env_vars.get("preset"), variables.get(("preset",))
        preset = f"{variable} {os.environ[variable]}" if variable else f"--preset {flag}" if flag else ""
        mistakes = [describe_mistake(mistake, settings_model, variables, preset) for mistake in error.errors()]
        raise UsageError("\n".join(mistakes)) from error
    except SettingsError as error:
        field = re.findall(r'for (?:field ")?([\w.]+)', str(error))[0]
        place = variables.get((field,), f"--{field.replace('_', '-')}")
        reason = f'not JSON ({error.__cause__}); fix or unset it; a list looks like \'["a", "b"]\''
        raise UsageError(f"{place}: {reason}") from error
    except UsageError as error:  # of a preset, or of the parser
        raise UsageError(re.sub("^--preset", variables.get(("preset",), "--preset"), str(error))) from error
    if variables:
        print_error(program, f"settings from the environment: {', '.join(sorted(variables.values()))}")
    return settings_model.model_validate({name: getattr(parsed, name) for name in settings_model.model_fields}), parsed


def run_flow(
    flow: Callable[[Model], Result],
    settings_model: type[Model],
    show: Callable[[Result], int | None],
    check: Callable[[Model], object] = lambda _settings: None,
    plan: Callable[[Model], Sequence[StepPlan]] = lambda _settings: (),
    without_flow: Callable[[Model, Flags], Callable[[], int | None] | None] = lambda _settings, _flags: None,
) -> int:
    """Run a flow with the settings of this process's command line.

    Args:
        settings_model: the flow's settings; its fields become flags.
        show: prints the flow's result and returns the exit status, if it is not 0.
        check: raises before anything starts if the settings name files that cannot be read or written.
        plan: returns what the flow would do, for `--dry-run`; writes nothing.
        without_flow: returns what to do instead, without Prefect, if these settings need no flow; else None.

    Returns:
        The exit status: that of `show` (3 for a run that could not be tracked), 1 if a step failed, 2 if the command
        line is invalid, 130 or 143 after a signal.
    """
    program = Path(sys.argv[0]).name
    accept_any_character()
    try:
        settings, parsed = parse_flags(settings_model, sys.argv[1:], program, inspect.getdoc(flow) or "")
        hide_pandas_from_arrow()
        if work := without_flow(settings, parsed):
            return exit_status(program, work, "the command")
        if parsed.json_ and not parsed.dry_run:
            raise UsageError("--json: give --dry-run too; a run prints no JSON")
        if not parsed.dry_run:
            make_folders()
        check(settings)
        if parsed.dry_run:
            return exit_status(program, lambda: show_plans(plan(settings), as_json=parsed.json_), "the dry run")
        from tasks.reporting.prefect_server import check_server, check_store

        check_store(warn=lambda message: print_error(program, message))
        check_server()
        print_failures_once()
    except PipelineError as error:
        if is_debugging():
            traceback.print_exc()
        print_error(f"{program}: error", str(error))
        return 2
    handle_signals()
    return exit_status(program, lambda: show(flow(settings)))


def handle_signals() -> None:
    """Exit at SIGTERM, and send a signal again whose exception Python dropped because it was raised in a destructor.

    TensorFlow's objects have destructors, and after it has traced a network thousands of them run.
    """
    from prefect.exceptions import TerminationSignal

    numbers = {KeyboardInterrupt: signal.SIGINT, TerminationSignal: signal.SIGTERM, SystemExit: signal.SIGTERM}
    # Prefect marks the run and passes SIGTERM on; an exit, unlike the signal's default, also stops its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = sys.unraisablehook

    def repeat_or_report(dropped: Any) -> None:
        number = numbers.get(dropped.exc_type)
        if number is None:
            report(dropped)
        else:
            # From another thread, later: an exception within this hook would be dropped too.
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = repeat_or_report


def exit_status(program: str, work: Callable[[], int | None], subject: str = "the run") -> int:
    """Do the work and return its exit status; print an error in one line as "`subject` failed"."""
    try:
        status = work() or 0
        print(end="", flush=True)
        return status
    except (KeyboardInterrupt, SystemExit) as error:
        number = signal.SIGTERM if isinstance(error, SystemExit) else signal.SIGINT
        if isinstance(error, SystemExit) and error.code != 128 + number:
            raise
        print_error(program, "interrupted; finished steps and epochs are kept, run again to go on")
        return 128 + number
    except BrokenPipeError:
        # Otherwise Python would fail again when it closes the stream.
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
