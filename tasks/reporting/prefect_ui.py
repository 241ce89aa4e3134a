"""What Prefect's server and UI get: the progress of long steps, events, tags, and the results of runs."""

import base64
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.theme import Theme

from tasks.core.layout import FIGURES
from tasks.evaluation import findings
from tasks.evaluation.metrics import NUMBERS
from tasks.reporting.pages import read_figures, render
from tasks.store.step import run_logger


def tag_flow_run(tag: str) -> None:
    """Add a tag to the current flow run."""
    from prefect import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, tag})


def as_untracked(folder: Path) -> Path:
    """Return a flow's result in the state Untracked; Prefect gives the caller of the flow the result."""
    from prefect.states import Completed

    reason = f"{folder} is complete, but MLflow could not be used, as the log says"
    return cast(Path, Completed(name="Untracked", message=reason, data=folder))


MODEL_PROMOTED = "imdb-pipeline.model.promoted"
REVIEWS_DRIFTED = "imdb-pipeline.reviews.drifted"


def resource_of(model: str) -> str:
    """Return the resource id of a registered model in Prefect's events."""
    return f"imdb-pipeline.model.{model}"


def announce(event: str, model: str, name: str, payload: dict[str, Any]) -> None:
    """Send an event about a registered model, which Prefect shows under `name`."""
    from prefect.events import emit_event

    resource = {"prefect.resource.id": resource_of(model), "prefect.resource.name": name}
    emit_event(event, resource, payload={"model": model} | payload)


def announce_champion(verdict: dict[str, Any]) -> None:
    """Send the event that a model became the champion; `verdict` has model, version, reason and against."""
    facts = {name: verdict[name] for name in ("version", "against", "reason")}
    announce(MODEL_PROMOTED, verdict["model"], f"{verdict['model']} version {verdict['version']}", facts)


def announce_drift(model: str, file: str, drift: dict[str, float]) -> None:
    """Send the event that a file's texts differ from those that a model was trained on.

    The event names the registered model, so that it starts only the deployment that retrains this one. `drift` has the
    population stability index by property.
    """
    announce(REVIEWS_DRIFTED, model, model, {"file": file, "drift": drift})


SECONDS_BETWEEN_UPDATES = 2.0
ONE_BAR = threading.Lock()  # in the terminal; Prefect's UI shows the progress of all threads

# Called with the share of the work that is done, from 0 to 1, and its description.
Advance = Callable[[float, str], None]


def log_console() -> Console:
    """Return the console that Prefect's log lines go to: a bar drawn on it keeps clear of them."""
    from prefect.logging.handlers import PrefectConsoleHandler

    for handler in [*logging.root.handlers, *logging.getLogger("prefect").handlers]:
        if isinstance(handler, PrefectConsoleHandler):
            return handler.console
    return Console(stderr=True)


@contextlib.contextmanager
def showing_progress(key: str, description: str) -> Iterator[Advance]:
    """Give a function that shows the progress in the terminal and in Prefect's UI, in the artifact `key`.

    The work continues if Prefect's server stops answering.
    """
    import httpx
    from prefect.artifacts import create_progress_artifact, update_progress_artifact
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.exceptions import PrefectHTTPStatusError

    is_told = bool(FlowRunContext.get() or TaskRunContext.get())  # a step's function may also be called by itself
    # In a task that is not a coroutine, neither is this.
    shown = cast(UUID, is_told and create_progress_artifact(progress=0.0, key=key, description=description))
    console, next_update = log_console(), 0.0
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    is_first = ONE_BAR.acquire(blocking=False)
    bar = Progress(*columns, console=console, transient=True, disable=not (console.is_terminal and is_first))
    with contextlib.ExitStack() as afterwards:
        if is_first:
            afterwards.callback(ONE_BAR.release)
        afterwards.enter_context(console.use_theme(Theme()))  # Prefect's console knows no style of a bar
        afterwards.enter_context(bar)
        line = bar.add_task("", total=1.0)

        def advance(share: float, doing: str) -> None:
            nonlocal next_update, is_told
            bar.update(line, completed=share, description=doing)
            if is_told and (time.monotonic() >= next_update or share >= 1):
                next_update = time.monotonic() + SECONDS_BETWEEN_UPDATES
                try:
                    update_progress_artifact(shown, progress=round(100 * share, 1))
                except (httpx.HTTPError, PrefectHTTPStatusError) as error:
                    is_told = False
                    reason = str(error) or type(error).__name__
                    run_logger().warning("Prefect's server no longer gets the progress (%s); the work goes on", reason)

        yield advance


def as_address(svg: str) -> str:
    """Return a figure as a data URL on white, because Prefect's UI may be dark and the letters are black."""
    svg = svg.replace("<svg ", '<svg style="background: #fff" ', 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def mlflow_page(tracking: dict[str, Any]) -> str | None:
    """Return the URL of a run in MLflow's UI, or None if MLflow has no server."""
    if not (tracking["uri"] or "").startswith("http"):
        return None
    return f"{tracking['uri'].rstrip('/')}/#/experiments/{tracking['experiment_id']}/runs/{tracking['run_id']}"


def show_in_prefect(name: str, folder: Path, metrics: dict[str, Any]) -> None:
    """Put the metrics, the report and a link to the MLflow run into Prefect's UI."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    rows = {"test": metrics["test"], "validation": metrics["validation"], "linear baseline": metrics["baseline"]}
    table = [{"texts": row} | {key: round(numbers[key], 4) for key in NUMBERS} for row, numbers in rows.items()]
    create_table_artifact(table, key="imdb-pipeline-metrics", description="The test metrics count.")
    images = {name: as_address(svg) for name, svg in read_figures(folder / FIGURES).items()}
    markdown = render("report.md.jinja", name=name, metrics=metrics, images=images, folder=folder)
    create_markdown_artifact(markdown, key="imdb-pipeline-report")
    if metrics["tracking"] and (page := mlflow_page(metrics["tracking"])):
        create_link_artifact(page, link_text="The run in MLflow", key="imdb-pipeline-mlflow-run")


def show_comparison_in_prefect(comparison: dict[str, Any], folder: Path) -> None:
    """Put the table of a comparison and the path of its folder into Prefect's UI."""
    from prefect.artifacts import create_table_artifact

    cells = [[cell.replace("\n", ", ") for cell in findings.describe_row(member)] for member in comparison["members"]]
    rows = [dict(zip(findings.COLUMNS, row, strict=True)) for row in cells]
    said = f"{findings.describe_chosen(comparison)} {findings.describe_sight(comparison)} Folder: {folder}"
    create_table_artifact(rows, key="imdb-pipeline-comparison", description=said)
