"""The screen: what a person sees of a run in the terminal."""

import json
import logging
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.core.errors import PipelineError

SHOWN = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss")


def show_run(folder: Path) -> int:
    """Print what a run came to: what was cached, seconds a step, test metrics, where the report is."""
    metrics = json.loads((folder / "metrics.json").read_text())
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

    table = Table("", *SHOWN)
    table.add_row("network", *(f"{test[name]:.4f}" for name in SHOWN))
    table.add_row("baseline", *(f"{metrics['baseline'][name]:.4f}" for name in SHOWN))
    console.print(table)
    if promotion := metrics["promotion"]:
        console.print(f"{promotion['decision'].capitalize()} of {promotion['model']}: {promotion['reason']}")
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True, highlight=False)
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
        for word, moved in result["words"]:
            print(f"  {moved:+.4f} {word}")
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
            "NO" if entry["rot"] else "yes" if findings["action"] == "verify" else "",
        )
    console.print(table)
    total = sum(entry["size"] for entry in artifacts)
    console.print(f"{total / 1e6:,.1f} MB {'freed' if findings['action'] == 'prune' else 'in all'}", highlight=False)
    for name in findings["swept"]:
        console.print(f"Removed too: {name}", highlight=False)
    for name in damaged:
        console.print(f"Damaged run folder: {name}", highlight=False)
    return 1 if damaged or any(entry["rot"] for entry in artifacts) else 0


class WithoutTraceback(logging.Formatter):
    """Another formatter's output, but of an error that a user can mend only the message."""

    def __init__(self, formatter: logging.Formatter) -> None:
        """Format by `formatter`."""
        super().__init__()
        self.formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one text."""
        if record.exc_info and isinstance(record.exc_info[1], PipelineError):
            record = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None})
        return self.formatter.format(record)


def show_expected_errors_without_traceback() -> None:
    """Keep tracebacks of expected errors off the terminal; Prefect's server keeps them."""
    from prefect.logging.configuration import setup_logging
    from prefect.logging.handlers import PrefectConsoleHandler

    setup_logging()  # Prefect does it only when a flow begins, and has no handlers before
    for handler in logging.root.handlers:
        if isinstance(handler, PrefectConsoleHandler) and handler.formatter:
            handler.setFormatter(WithoutTraceback(handler.formatter))
