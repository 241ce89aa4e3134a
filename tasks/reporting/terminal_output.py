"""The terminal: the results that commands print, and which log lines appear."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from tasks.core.environment import is_own_program
from tasks.core.errors import PipelineError, describe, is_debugging, print_error
from tasks.core.layout import COMPARISON, COMPARISON_PAGE, METRICS, REPORT
from tasks.store.fingerprint import StepPlan
from tasks.store.step_log import TRACK, unfinished_step

# Prefect's loggers of flow runs and task runs.
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
# What Prefect logs of a failed run, and of one that is stopped because its time is over.
HIDDEN = re.compile(
    r"Finished in state (Failed|TimedOut)\(|Flow run exceeded timeout|(Crash detected! |Finished in state Crashed\(')"
    "Execution was (cancelled by the runtime|interrupted by an unexpected exception: CancelledError)"
)
UNTRACKED = 3
TITLES = {"champion": "champion", "challenger": "challenger", "neither": "neither champion nor challenger"}


def console_for() -> Console:
    """Return a console that prints text as it is: [x] in a path is not markup, :x: no emoji, and numbers no colour."""
    return Console(markup=False, emoji=False, highlight=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print rows under their columns; one whose name begins with > is aligned to the right."""
    justified = (Column(name.removeprefix(">"), justify="right" if name[:1] == ">" else "left") for name in columns)
    table = Table(*justified, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console_for().print(table)


def show_run(folder: Path) -> int:
    """Print the steps of a run, its test metrics, the promotion and the path of the report.

    The exit status is 3 if the run was to be tracked and could not be.
    """
    from tasks.evaluation.findings import describe_results
    from tasks.evaluation.metrics import HEADLINES

    metrics = json.loads((folder / METRICS).read_text("utf-8"))
    console = console_for()
    dataset, steps, test = metrics["dataset"], metrics["steps"], metrics["test"]

    rows = []
    for step in steps:
        seconds = "failed" if step["seconds"] is None else f"{step['seconds']:.2f}"
        rows.append((step["name"], seconds, "cached" if step["cached"] else step["cause"]))
    print_table(("step", ">seconds", "why"), rows, f"{dataset['name']}: {dataset['test']:,} test texts")

    is_linear = metrics["candidates"]["chosen"] == "linear"
    judged = {"linear model": test} if is_linear else {"network": test, "baseline": metrics["baseline"]}
    print_table(("", *judged), ((name, *(f"{its[name]:.4f}" for its in judged.values())) for name in HEADLINES))
    sentences = describe_results(metrics)
    said = (sentences[name] for name in ("derived", "baseline", "choice", "unpredicted"))
    console.print(*filter(None, said), sep="\n")
    if promotion := metrics["promotion"]:
        console.print(f"{promotion['model']}, {TITLES[promotion['decision']]}: {promotion['reason']}")
    console.print(f"Report: {folder / REPORT}", soft_wrap=True)
    if any(step["name"] in ("track", "promote") and step["seconds"] is None for step in steps):
        return report_untracked("all steps")
    return 0


def show_comparison(folder: Path) -> int:
    """Print the results of a comparison; the exit status is 1 if a member failed, 3 if it could not be tracked."""
    from tasks.evaluation.findings import COLUMNS, describe_chosen, describe_row

    comparison = json.loads((folder / COMPARISON).read_text("utf-8"))
    console = console_for()
    dataset, members = comparison["dataset"], comparison["members"]
    size = f"{dataset['test']:,} test texts" if comparison["chosen"] else "no network finished"
    table = Table(title=f"{dataset['name']}: {size}", title_justify="left")
    rows = [describe_row(member) for member in members]
    for place, (name, cells) in enumerate(zip(COLUMNS, zip(*rows, strict=True), strict=True)):
        # Eighty characters hold the numbers if the names give way.
        words = [*name.split(), *(line for cell in cells for line in cell.split("\n"))]
        table.add_column(name, justify="right" if place else "left", width=max(map(len, words)) if place else None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(describe_chosen(comparison))
    failed = [member for member in members if member["failure"]]
    for member in failed:
        console.print(f"{member['name']} failed: {member['failure']}", style="bold")
    console.print(f"Comparison: {folder / COMPARISON_PAGE}", soft_wrap=True)
    if unfinished_step() == TRACK and not failed:
        return report_untracked("all networks")
    return 1 if failed else 0


def report_untracked(cached: str) -> int:
    """Print that MLflow could not be used and how to track later, and return the exit status."""
    program, remedy = Path(sys.argv[0]).name, f"run the same again: {cached} come from the cache"
    print_error(program, f"complete, but MLflow could not be used, as the log says; later, {remedy}")
    return UNTRACKED


def show_plans(plans: Sequence[StepPlan], *, as_json: bool) -> None:
    """Print what a command would do, and why; as JSON with all differences from the nearest artifact."""
    if as_json:
        print(json.dumps([plan._asdict() | {"causes": [cause._asdict() for cause in plan.causes]} for plan in plans]))
    else:
        print_table(("step", "would be", "why"), ((plan.step, plan.status, plan.cause) for plan in plans))


def show_champions(record: dict[str, Any]) -> None:
    """Print the champions so far: since when, why, and with which test accuracy."""
    rows = []
    for entry in record["champions"]:
        accuracy = "" if entry["accuracy"] is None else f"{entry['accuracy']:.4f}"
        rows.append((str(entry["version"]), entry["at"], entry["by"], accuracy, entry["reason"]))
    print_table(("version", "since", "by", "accuracy", "reason"), rows, f"champions of {record['model']}")


def show_promotion(record: dict[str, Any]) -> None:
    """Print which version was promoted by hand, and which one it replaced."""
    replaced = f", in place of version {record['against']}" if record["against"] else ""
    print(f"Version {record['version']} of {record['model']} is the champion{replaced}: {record['reason']}")


def show_prediction(result: dict[str, Any]) -> None:
    """Print the label and probability of one text, or the files with the scores of many."""
    if "probability" in result:
        unanswered = "" if result.get("answered", True) else " (unanswered: too uncertain)"
        print(f"{result['label']} {result['probability']:.4f}{unanswered}")
        for word, moved, label in result["words"]:
            print(f"  {moved:+.4f} {word}" + (f" ({label})" if len(result["probabilities"]) > 2 else ""))
        from tasks.network.verdicts import describe_limit

        explained = result.get("explained") or {"words": 0, "of": 0}
        if limit := describe_limit(explained["words"], explained["of"]):
            print(f"  {limit}")
    for file in result.get("files", []):
        print(f"{file['rows']:,} rows scored by {result['model']}: {file['output']}")
        if file["drifted"]:
            print("  these texts differ from those that the model was trained on; the log above has the figures")
    if result.get("files") == []:
        print("Nothing new to score")


def show_export(result: dict[str, Any]) -> None:
    """Print the folder of an exported model."""
    print(f"{result['model']}: {result['output']}")


def show_inventory(findings: dict[str, Any]) -> int:
    """Print the store's artifacts; the exit status is 1 if something is damaged."""
    console = console_for()
    artifacts, rows = findings["artifacts"], []
    for entry in artifacts:
        step, _, key = entry["key"].partition("/")
        numbers = f"{entry['size'] / 1e6:.1f}", f"{entry['days']:.1f}", str(len(entry["runs"]))
        last = entry["runs"][-1].partition("-")[0] if entry["runs"] else "none"
        whole = "NO" if entry["damage"] else "yes" if findings["action"] == "verify" else ""
        rows.append((f"{step}/{key[:12]}", *numbers, last, whole))
    columns = "artifact", ">MB", ">days since use", ">runs", "last run", "whole"
    print_table(columns, rows, f"{findings['action']}: {len(artifacts)} artifacts")
    total = sum(entry["size"] for entry in artifacts)
    console.print(f"{total / 1e6:,.1f} MB {'freed' if findings['action'] == 'prune' else 'in all'}")
    for name in findings["removed"]:
        console.print(f"Also removed: {name}")
    return 1 if any(entry["damage"] for entry in artifacts) else 0


class FailureFilter(logging.Filter):
    """Hides Prefect's lines about a failure or a time limit in the terminal, where one of ours describes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the terminal shows the record, and replace the errors in it by their descriptions."""
        if record.name not in RUN_LOGGERS:
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(
                describe(arg).partition("\n")[0] if isinstance(arg, BaseException) else arg for arg in record.args
            )
        return not record.exc_info and not HIDDEN.match(record.getMessage())


class ExpectedErrors(logging.Filter):
    """Logs an error that a user can fix as one line, without a traceback, where no command line does: in a worker.

    Prefect's own line about wrong parameters is left out: it quotes all of them, which may include passwords.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record, and shorten it."""
        error = record.exc_info[1] if record.exc_info else None
        is_expected = isinstance(error, PipelineError) or type(error).__name__ == "ParameterTypeError"  # of Prefect
        if error and is_expected and not (is_own_program() or is_debugging()):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = "Failed: %s", (" ".join(str(error).split()),)
        return not (record.name == "prefect.flows" and record.getMessage().startswith("Parameter validation failed"))


for _name in ("prefect.flows", "prefect.engine", *RUN_LOGGERS):
    logging.getLogger(_name).addFilter(ExpectedErrors())


def print_failures_once() -> None:
    """Keep Prefect's reports of a failure off the terminal, except with `--debug`; its server still gets them."""
    from prefect.logging.configuration import setup_logging
    from prefect.logging.handlers import PrefectConsoleHandler

    setup_logging()  # Prefect does this only when a flow begins; until then there are no handlers
    if is_debugging():
        return
    for logger in (logging.root, *map(logging.getLogger, RUN_LOGGERS)):
        for handler in logger.handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.addFilter(FailureFilter())


def accept_any_character() -> None:
    """Make standard output escape characters that the terminal's encoding lacks, so that no finished run fails."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
