import io
import logging
import sys

import pytest

from tasks.core.errors import InputError
from tasks.reporting.screen import FailureFilter, accept_any_character


def record(message: str, *arguments: object, name: str = "prefect.task_runs", **facts) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "msg": message, "args": arguments} | facts)


def test_the_terminal_hides_what_the_last_line_says():
    shown = FailureFilter().filter
    error = (KeyError, KeyError("x"), None)
    assert not shown(record("Encountered exception during execution: %r", KeyError("x"), exc_info=error))
    assert not shown(record("Finished in state Failed('KeyError')"))
    assert shown(record("Finished in state Completed()"))
    assert shown(record("Encountered exception", name="mine", exc_info=error))


def test_an_error_in_a_log_line_is_described():
    retried = record("Task run failed with %s: %r - Retry %s/3", "exception", InputError("a.csv: is empty"), 1)
    assert FailureFilter().filter(retried)
    assert retried.getMessage() == "Task run failed with exception: a.csv: is empty - Retry 1/3"


def test_characters_that_the_terminal_lacks_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with pytest.raises(UnicodeEncodeError):
        print("Größe")
    accept_any_character()
    print("Größe", flush=True)
    assert raw.getvalue() == b"Gr\\xf6\\xdfe\n"
