"""The screen: what a person sees of a run in the terminal."""

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.core.error_messages import describe, is_debugging
from tasks.evaluation.metrics import HEADLINES, METRICS
from tasks.reporting.pages import REPORT, describe_comparison

# The loggers by which Prefect says what becomes of flows and tasks, and by which these speak.
OF_RUNS = ("prefect.flow_runs", "prefect.task_runs")
TITLES = {"champion": "champion", "challenger": "challenger", "neither": "neither champion nor challenger"}


def show_run(folder: Path) -> int:
    """Print what a run came to: what was cached, seconds a step, test metrics, where the report is."""
    metrics = json.loads((folder / METRICS).read_text("utf-8"))
    console = Console()
    dataset, steps, test = metrics["dataset"], metrics["steps"], metrics["test"]

    table = Table(title=f"{dataset['name']}: {dataset['test']:,} test reviews", title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("from the cache")
    for step in steps:
        seconds = "failed" if step["seconds"] is None else f"{step['seconds']:.2f}"
        table.add_row(step["name"], seconds, "yes" if step["cached"] else "no")
    console.print(table)

    table = Table("", *HEADLINES)
    table.add_row("network", *(f"{test[name]:.4f}" for name in HEADLINES))
    table.add_row("baseline", *(f"{metrics['baseline'][name]:.4f}" for name in HEADLINES))
    console.print(table)
    console.print(describe_comparison(metrics["baseline"]["comparison"], "the linear baseline"), highlight=False)
    if promotion := metrics["promotion"]:
        console.print(f"{promotion['model']}, {TITLES[promotion['decision']]}: {promotion['reason']}")
    console.print(f"Report: {folder / REPORT}", soft_wrap=True, highlight=False)
    return 0


def show_promotion(record: dict[str, Any]) -> int:
    """Print that a version was promoted, and which one it replaced."""
    replaced = f", in place of version {record['against']}" if record["against"] else ""
    print(f"Version {record['version']} of {record['model']} is the champion{replaced}: {record['reason']}")
    return 0


def show_prediction(result: dict[str, Any]) -> int:
    """Print the label and probability of one review, or where the scores of many lie."""
    if "probability" in result:
        print(f"{result['label']} {result['probability']:.4f}")
        for word, moved, label in result["words"]:
            print(f"  {moved:+.4f} {word}" + (f" ({label})" if len(result["probabilities"]) > 2 else ""))
    for file in result.get("files", []):
        print(f"{file['rows']:,} rows scored by {result['model']}: {file['output']}")
        if file["drifted"]:
            print("  unlike the reviews that the model was trained on; the log above says how far")
    if result.get("files") == []:
        print("Nothing new to score")
    return 0


def show_export(result: dict[str, Any]) -> int:
    """Print where a model was written."""
    print(f"{result['model']}: {result['output']}")
    return 0


def show_house(findings: dict[str, Any]) -> int:
    """Print what housekeeping found; the exit status is 1 where something is not whole."""
    console = Console()
    artifacts, damaged = findings["artifacts"], findings["damaged_runs"]
    table = Table(title=f"{findings['action']}: {len(artifacts)} artifacts", title_justify="left")
    table.add_column("artifact")
    for name in ("MB", "days since use", "runs"):
        table.add_column(name, justify="right")
    table.add_column("last run")
    table.add_column("whole")
    for entry in artifacts:
        step, _, key = entry["key"].partition("/")
        table.add_row(
            f"{step}/{key[:12]}",
            f"{entry['size'] / 1e6:.1f}",
            f"{entry['days']:.1f}",
            str(len(entry["runs"])),
            entry["runs"][-1].partition("-")[0] if entry["runs"] else "none",
            "NO" if entry["damage"] else "yes" if findings["action"] == "verify" else "",
        )
    console.print(table)
    total = sum(entry["size"] for entry in artifacts)
    console.print(f"{total / 1e6:,.1f} MB {'freed' if findings['action'] == 'prune' else 'in all'}", highlight=False)
    for name in findings["removed"]:
        console.print(f"Removed too: {name}", highlight=False)
    for name in damaged:
        console.print(f"Damaged run folder: {name}", highlight=False)
    return 1 if damaged or any(entry["damage"] for entry in artifacts) else 0


class InWords:
    """An error where a log line would quote it."""

    def __init__(self, error: BaseException) -> None:
        """Stand for `error`."""
        self.error = error

    def __repr__(self) -> str:
        """Return the error in one line."""
        return describe(self.error).partition("\n")[0]


class FailureSaidOnce(logging.Filter):
    """Keeps off the terminal what Prefect says of a failure, with tracebacks: the last line says it, in words."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the terminal shows the record; errors that it quotes are put into words."""
        if record.name not in OF_RUNS:
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(InWords(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
        return not record.exc_info and not record.getMessage().startswith("Finished in state Failed(")


def say_failures_once() -> None:
    """Keep Prefect's own accounts of a failure off the terminal; its server has them, and `--debug` shows them."""
    from prefect.logging.configuration import setup_logging
    from prefect.logging.handlers import PrefectConsoleHandler

    setup_logging()  # Prefect does it only when a flow begins, and has no handlers before
    if is_debugging():
        return
    for logger in (logging.root, *map(logging.getLogger, OF_RUNS)):
        for handler in logger.handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.addFilter(FailureSaidOnce())


def accept_any_character() -> None:
    """Have standard output escape what the terminal's encoding lacks: a run that has done its work ends well."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
