"""Progress: how far training is, as a bar in the terminal and in Prefect's UI."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.theme import Theme

SECONDS_BETWEEN_UPDATES = 2.0

# Told the epoch, from 1, the batch within it, from 1, and how many batches it has.
OnBatch = Callable[[int, int, int], None]


def log_console() -> Console:
    """Return the console that Prefect's log lines go to: a bar drawn on it keeps clear of them."""
    for handler in [*logging.root.handlers, *logging.getLogger("prefect").handlers]:
        if isinstance(handler, PrefectConsoleHandler):
            return handler.console
    return Console(stderr=True)


@contextlib.contextmanager
def showing_progress(epochs: int) -> Iterator[OnBatch]:
    """Give a function to call after each batch, and show in the terminal and in Prefect's UI how far training is.

    Where output is no terminal there is no bar: a line an epoch is enough. Where Prefect's server stops answering,
    training goes on without it.

    Args:
        epochs: of the whole training.
    """
    say = get_run_logger().warning
    # In a task that is no coroutine, neither is this.
    shown = cast(UUID, create_progress_artifact(progress=0.0, key="training", description=f"{epochs} epochs"))
    console, next_update, is_told = log_console(), 0.0, True
    columns = TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"), BarColumn(), TaskProgressColumn()
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    with console.use_theme(Theme()), bar:  # Prefect's console knows no style of a bar
        line = bar.add_task("", total=float(epochs), epoch=1, epochs=epochs)

        def on_batch(epoch: int, batch: int, batches: int) -> None:
            nonlocal next_update, is_told
            done = epoch - 1 + batch / batches
            bar.update(line, completed=done, epoch=epoch)
            is_last = done >= epochs
            if is_told and (time.monotonic() >= next_update or is_last):
                next_update = time.monotonic() + SECONDS_BETWEEN_UPDATES
                try:
                    update_progress_artifact(shown, progress=round(100 * done / epochs, 1))
                except (httpx.HTTPError, PrefectHTTPStatusError) as error:
                    is_told = False
                    say("Prefect's server is not told of the progress any more (%s); training goes on", error)

        yield on_batch
