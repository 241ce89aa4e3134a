"""The step log: the steps of each run of this process, how long they took, and why they ran."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

TRACK = "track"  # the step that logs a run or a comparison in MLflow


class StepEntry(TypedDict):
    """One step of a run; `seconds` is null while the step runs, and after it failed. `cause` is why it ran."""

    name: str
    seconds: float | None
    cached: bool
    cause: str


_STEPS: dict[str, dict[str, StepEntry]] = defaultdict(dict)


@contextmanager
def log_step(run: str, name: str) -> Iterator[StepEntry]:
    """Log that the step `name` of the flow run `run` starts and, if it succeeds, how long it took.

    Yields:
        The entry; the step sets `cached`.
    """
    step = StepEntry(name=name, seconds=None, cached=False, cause="")
    _STEPS[run] = _STEPS.pop(run, {}) | {name: step}  # at the end: a comparison's steps surround those of its members
    started = time.perf_counter()
    yield step
    step["seconds"] = round(time.perf_counter() - started, 3)


def steps_of(run: str) -> list[StepEntry]:
    """Return the steps of a flow run, in the order in which they started."""
    return list(_STEPS[run].values())


def unfinished_step(run: str | None = None) -> str | None:
    """Return the name of the step that started last, in a flow run or in this process, if it has not ended."""
    runs = _STEPS.values() if run is None else [_STEPS[run]]
    last = [step for steps in runs for step in steps.values()][-1:]
    return last[0]["name"] if last and last[0]["seconds"] is None else None
