"""The journal: which steps a flow run went through, how long each took and whether it came from the cache."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict


class Step(TypedDict):
    """One step of a run; `seconds` is null while the step runs, and after it failed."""

    name: str
    seconds: float | None
    cached: bool


_STEPS: dict[str, dict[str, Step]] = defaultdict(dict)


@contextmanager
def noting(run: str, name: str, *, cached: bool = False) -> Iterator[Step]:
    """Note that the step `name` of `run` begins, and how long it took when it ends well."""
    step = _STEPS[run][name] = Step(name=name, seconds=None, cached=cached)
    started = time.perf_counter()
    yield step
    step["seconds"] = round(time.perf_counter() - started, 3)


def steps_of(run: str) -> list[Step]:
    """Return the steps of a flow run, in the order in which they began."""
    return list(_STEPS[run].values())


def unfinished_step(run: str | None = None) -> str | None:
    """Return the name of the step that began last, in a flow run or in this process, if it has not ended."""
    runs = _STEPS.values() if run is None else [_STEPS[run]]
    last = [step for steps in runs for step in steps.values()][-1:]
    return last[0]["name"] if last and last[0]["seconds"] is None else None
