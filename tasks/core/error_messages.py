"""What nobody foresaw: one line in place of a traceback, which `--debug` shows."""

import os
import sys
import tomllib
import traceback
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from tasks.core.errors import PipelineError


def settings_files() -> list[Path]:
    """Return the files that Prefect takes settings from, in the order in which it looks, as far as they exist."""
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or Path(os.environ.get("PREFECT_HOME", "")) / "profiles.toml"
    files = [Path(".env"), Path("prefect.toml"), Path("pyproject.toml"), Path(profiles)]
    return [file.absolute() for file in files if file.is_file()]


def origin_of(value: str, variable: str = "") -> str | None:
    """Return what sets one of Prefect's settings to `value`: a variable's name or a file; None where neither is found.

    Args:
        value: as it was written.
        variable: the one that it would be; without it, any of Prefect's.
    """
    for name in [variable] if variable else sorted(os.environ):
        if name.startswith("PREFECT_") and os.environ.get(name) == value:
            return name
    return next((str(file) for file in settings_files() if value in file.read_text("utf-8", "replace")), None)


DEBUG_VARIABLE = "IMDB_DEBUG"
MOST_LINES = 5
LONGEST_LINE = 1000


def is_debugging() -> bool:
    """Tell whether tracebacks are wanted: `--debug`, or IMDB_DEBUG in the environment."""
    return os.environ.get(DEBUG_VARIABLE, "").lower() in ("1", "true", "yes", "on")


def say(program: str, message: str) -> None:
    """Print a message to standard error, however long its author made it: at most five lines."""
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in message.splitlines()]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1 :] = [f"… and {len(lines) - MOST_LINES + 1:,} more"]
    for line in lines:
        print(f"{program}: {line}", file=sys.stderr)


def describe(error: BaseException) -> str:
    """Return an error in words: a foreseen one's own, and of any other what and where it was, and how to see more."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; mend this place and run again, or see more with --debug"
    steps = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(steps[-1].filename).name}:{steps[-1].lineno}" if steps else ""
    reason = next(iter(str(error).strip().splitlines()), "no reason given")
    return f"nobody foresaw this: {type(error).__name__}{place}, {reason}; --debug shows where it comes from"


def describe_settings(error: BaseException) -> str:
    """Return why Prefect cannot read its settings, and where they stand."""
    if isinstance(error, ValidationError):
        mistake = error.errors()[0]
        given, reason = str(mistake["input"]), mistake["msg"]
        what = f"{'.'.join(map(str, mistake['loc']))}: {reason[0].lower()}{reason[1:]}"
        return f"Prefect's settings cannot be used: {what}; mend {origin_of(given) or 'its environment variable'}"
    for file in settings_files():
        try:
            tomllib.loads(file.read_text("utf-8") if file.suffix == ".toml" else "")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as mistake:
            return f"{file}: Prefect's settings cannot be read ({mistake}); mend this file"
    return describe(error)


def show_uncaught(_kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line what ends a program before its flow begins, where Python would print a traceback."""
    in_settings = any("prefect/settings" in Path(step.filename).as_posix() for step in traceback.extract_tb(trace))
    words = "interrupted" if isinstance(error, KeyboardInterrupt) else describe(error)
    say(Path(sys.argv[0]).name, f"error: {describe_settings(error) if in_settings else words}")
