import io
import logging
import sys

import pytest

from tasks.core.errors import InputError
from tasks.reporting.screen import FailureSaidOnce, accept_any_character


def record(message: str, *arguments: object, name: str = "prefect.task_runs", **facts) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "msg": message, "args": arguments} | facts)


def test_the_terminal_leaves_out_what_the_last_line_says():
    shown = FailureSaidOnce().filter
    error = (KeyError, KeyError("x"), None)
    assert not shown(record("Encountered exception during execution: %r", KeyError("x"), exc_info=error))
    assert not shown(record("Finished in state Failed('KeyError')"))
    assert shown(record("Finished in state Completed()"))
    assert shown(record("Encountered exception", name="mine", exc_info=error))


def test_an_error_that_a_line_quotes_is_put_into_words():
    retried = record("Task run failed with %s: %r - Retry %s/3", "exception", InputError("a.csv: is empty"), 1)
    assert FailureSaidOnce().filter(retried)
    assert retried.getMessage() == "Task run failed with exception: a.csv: is empty - Retry 1/3"


def test_a_terminal_without_a_letter_shows_its_code(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with pytest.raises(UnicodeEncodeError):
        print("Größe")
    accept_any_character()
    print("Größe", flush=True)
    assert raw.getvalue() == b"Gr\\xf6\\xdfe\n"
