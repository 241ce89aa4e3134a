"""Errors that a user can fix, and their messages: one line in place of a traceback, which `--debug` shows.

A message says what was found, what was expected and what to do.
"""

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

DEBUG_VARIABLE = "IMDB_DEBUG"
MAX_LINES = 5
MAX_LINE_LENGTH = 1000


class PipelineError(Exception):
    """An expected failure with a remedy: it is shown as its message, without a traceback."""


class SourceError(PipelineError):
    """A data source returned something else than the data set."""


class SourceUnreachable(SourceError):
    """A data source could not be reached or closed the connection: trying again later may help."""


class StoreError(PipelineError):
    """The artifact store cannot be read or written."""


class ServerError(PipelineError):
    """Prefect's server, or the address to serve at, is not available."""


class DataError(PipelineError):
    """Texts, labels or tokens that a step cannot work with."""


class TrainingError(PipelineError):
    """Training cannot go on."""


class RegistryError(PipelineError):
    """MLflow does not answer, or refused a request."""


class ModelError(PipelineError):
    """There is no such model, or it does not support the request."""


class InputError(PipelineError):
    """Files or settings of the user that cannot be used."""


class MemberError(PipelineError):
    """A step of a comparison's member failed."""


class RunnerError(PipelineError):
    """A runner is not installed, or does not answer."""


class UsageError(PipelineError):
    """The command line cannot be run; the message has one line per mistake."""


def is_debugging() -> bool:
    """Return whether tracebacks are shown: `--debug`, or IMDB_DEBUG in the environment."""
    return os.environ.get(DEBUG_VARIABLE, "").lower() in ("1", "true", "yes", "on")


def print_error(program: str, message: str) -> None:
    """Print a message to standard error, shortened to five lines."""
    lines = [line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…" for line in message.splitlines()]
    if len(lines) > MAX_LINES:
        lines[MAX_LINES - 1 :] = [f"… and {len(lines) - MAX_LINES + 1:,} more"]
    for line in lines:
        print(f"{program}: {line}", file=sys.stderr)


def describe(error: BaseException) -> str:
    """Return an error's message; for an unexpected one also its type, its place and how to see more."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; fix this and run again, or see more with --debug"
    steps = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(steps[-1].filename).name}:{steps[-1].lineno}" if steps else ""
    reason = next(iter(str(error).strip().splitlines()), "no reason given")
    return f"unexpected {type(error).__name__}{place}: {reason}; --debug shows the traceback"


def show_uncaught(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Print in one line an error that ends a program before its flow begins."""
    words = "interrupted" if isinstance(error, KeyboardInterrupt) else describe(error)
    print_error(Path(sys.argv[0]).name, f"error: {words}")
