"""Progress of long steps, and events for Prefect's server."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.theme import Theme

from tasks.store.step import run_logger


def tag_flow_run(tag: str) -> None:
    """Add a tag to the current flow run."""
    from prefect import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, tag})


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
