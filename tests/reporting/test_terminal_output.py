import contextlib
import io
import json
import logging
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.core.layout import METRICS
from tasks.evaluation.metrics import HEADLINES
from tasks.reporting.terminal_output import FailureFilter, accept_any_character, show_inventory, show_run


def record(message: str, *arguments: object, name: str = "prefect.task_runs", **facts) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "msg": message, "args": arguments} | facts)


def test_prefects_failure_messages_are_hidden_in_the_terminal():
    shown = FailureFilter().filter
    error = (KeyError, KeyError("x"), None)
    assert not shown(record("Encountered exception during execution: %r", KeyError("x"), exc_info=error))
    assert not shown(record("Finished in state Failed('KeyError')"))
    assert shown(record("Finished in state Completed()"))
    assert shown(record("Encountered exception", name="mine", exc_info=error))


def test_a_stage_whose_time_is_over_does_not_look_like_a_crash_in_the_terminal():
    shown = FailureFilter().filter
    stopped, cancelled = (
        "Execution was interrupted by an unexpected exception: CancelledError: ",
        "Execution was cancelled by the runtime environment.",
    )
    for reason in (stopped, cancelled):
        assert not shown(record(f"Crash detected! {reason}"))
        assert not shown(record(f"Finished in state Crashed({reason!r})"))
    assert not shown(record("Flow run exceeded timeout of 116.4 second(s)", name="prefect.flow_runs"))
    assert not shown(record("Finished in state TimedOut('Flow run exceeded timeout of 116.4 second(s)', type=FAILED)"))
    assert shown(record("Crash detected! Execution was interrupted by an unexpected exception: MemoryError: "))
    assert shown(record("auto: tuned: stopped: the time is over", name="prefect.flow_runs"))


def test_an_exception_in_a_log_line_is_shown_as_its_message():
    retried = record("Task run failed with %s: %r - Retry %s/3", "exception", InputError("a.csv: is empty"), 1)
    assert FailureFilter().filter(retried)
    assert retried.getMessage() == "Task run failed with exception: 'a.csv: is empty' - Retry 1/3"


CANDIDATES = {"considered": "best", "chosen": "network", "metric": "accuracy"}
CANDIDATES |= {name: {"value": 0.9, "log_loss": 0.3} for name in ("network", "linear")}
HISTORY = [{"epoch": 1, "loss": 0.5, "val_loss": 0.5}]
DERIVED = {"validation_texts": 1_100, "validation": "stratified by label", "folds": 4, "epochs": 9, "passes": 20}
DERIVED["inverse_penalty"] = 0.2
COMPARISON = {
    "metric": "accuracy",
    "ci95": [0, 0.2],
    "difference": 0.1,
    "p_value": 0.5,
    "only_first": 1,
    "only_second": 0,
}
# Parts of paths and labels that Rich would read as markup or as an emoji.
NAMES = st.lists(
    st.sampled_from(["[x]", "[/x]", "[red]", "[/]", "\\\\", ":cat:", "[link=a]", "a", "b"]), min_size=1
).map("".join)


@given(NAMES)
def test_markup_in_names_is_printed_literally(name):
    with TemporaryDirectory() as scratch, patch.dict(os.environ, {"COLUMNS": "1000"}):
        folder = Path(scratch) / name.replace("/", "|")
        folder.mkdir()
        numbers = dict.fromkeys(HEADLINES, 0.5) | {"comparison": COMPARISON}
        metrics = {
            "dataset": {"name": name, "test": 9},
            "steps": [{"name": name, "seconds": 1, "cached": False, "cause": "first run"}],
        }
        metrics |= {
            "candidates": CANDIDATES,
            "model": {"best_epoch": 1},
            "history": HISTORY,
            "derived": DERIVED,
            "test": numbers | {"confusion": [[3, 1], [2, 3]], "by_label": [{"label": "a"}, {"label": "b"}]},
            "baseline": numbers,
            "promotion": {"model": name, "decision": "champion", "reason": name},
        }
        (folder / METRICS).write_text(json.dumps(metrics))
        artifact = {"key": f"{name.replace('/', '|')}/0", "size": 1, "days": 1, "runs": [], "damage": ""}
        findings = {"action": "list", "artifacts": [artifact], "removed": [name]}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            show_run(folder)
            show_inventory(findings)
    text = printed.getvalue()
    derived = (
        "Derived from the texts: 1,100 validation texts (stratified by label), 4 folds, 9 epochs of 20 passes, "
        "inverse penalty 0.2 of the linear model."
    )
    for line in (derived, f"{name}: 9 test", f"│ {name} ", f"{name}, champion: {name}\n", f"Report: {folder}"):
        assert line in text
    for line in (f"removed: {name}\n", f"│ {name.replace('/', '|')}/0"):
        assert line in text


@pytest.mark.parametrize("columns", ["40", "79", "80", "200"])
def test_metrics_are_readable_in_a_terminal_of_any_width(tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    numbers = {name: 0.1111 * (place + 1) for place, name in enumerate(HEADLINES)} | {"comparison": COMPARISON}
    metrics = {
        "dataset": {"name": "a", "test": 9},
        "steps": [],
        "candidates": CANDIDATES,
        "model": {"best_epoch": 1},
        "history": HISTORY,
        "derived": DERIVED | {"folds": None, "passes": 1},
        "test": numbers | {"confusion": [[3, 1], [2, 3]], "by_label": [{"label": "a"}, {"label": "b"}]},
        "baseline": numbers,
        "promotion": None,
    }
    (tmp_path / METRICS).write_text(json.dumps(metrics))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        show_run(tmp_path)
    derived = "Derived from the texts: 1,100 validation texts (stratified by label), 9 epochs, inverse penalty 0.2"
    assert derived in " ".join(printed.getvalue().split())
    for name in HEADLINES:
        assert name in printed.getvalue()
        assert printed.getvalue().count(f"{numbers[name]:.4f}") == 2


def test_characters_outside_the_terminals_encoding_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with pytest.raises(UnicodeEncodeError):
        print("Größe")
    accept_any_character()
    print("Größe", flush=True)
    assert raw.getvalue() == b"Gr\\xf6\\xdfe\n"
