"""The record of a run: its steps while it runs, and what its folder and the store say when it has finished."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from tasks.core.errors import ModelError
from tasks.core.layout import CONFIG, METRICS, RUNS
from tasks.core.run_settings import RunSettings
from tasks.core.user_paths import user_path
from tasks.store.artifact import Artifact, DamagedError
from tasks.store.inventory import take
from tasks.store.store import Store

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


class Recorded(Artifact):
    """An artifact that a run folder names; it may no longer be in the store."""

    content: str

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return self.content


@dataclass(frozen=True)
class RunRecord:
    """A run's folder, settings, metrics.json, and artifacts by step."""

    folder: Path
    settings: RunSettings
    metrics: dict[str, Any]
    artifacts: dict[str, Artifact]


def read_record(run: str, store: Store) -> RunRecord:
    """Return the record of a run, named by its folder or that folder's name; ModelError if it is not a run folder."""
    folder = (user_path(run) if user_path(run).exists() else store.root / RUNS / run).resolve()
    try:
        settings = RunSettings.model_validate_json((folder / CONFIG).read_bytes())
        metrics = json.loads((folder / METRICS).read_bytes())
        artifacts = {step: recall(store, its["key"], its["sha256"]) for step, its in metrics["artifacts"].items()}
        return RunRecord(folder, settings, metrics, artifacts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: is not a run folder with config.json and metrics.json ({error!r})") from error


def recall(store: Store, key: str, sha256: str) -> Artifact:
    """Return an artifact as it was then, with the parts of its key if the store still has it."""
    found = store.peek(key)
    meta, made_of = (found.meta, found.made_of) if found else ({}, {})
    return Recorded(key=key, files={}, meta=meta, made_of=made_of, content=sha256)


def folder_of(record: RunRecord, step: str, store: Store) -> Path:
    """Return the folder of an artifact of a run, as `take_recorded` does; nothing is marked as used."""
    recorded = record.artifacts[step]
    return store.path(take_recorded(store, recorded.key, recorded.sha256, record.folder, read_only=True))


def take_recorded(store: Store, key: str, sha256: str, run: Path, *, read_only: bool = False) -> Artifact:
    """Return an artifact named in a run's metrics.json, verified and, unless `read_only`, marked as used.

    Raise ModelError if it has been pruned, damaged or replaced.
    """
    remedy = f"repeat the run to rebuild it (train --preset {run / CONFIG})"
    try:
        artifact = store.find(key) if read_only else take(store, key)
    except DamagedError as damage:
        raise ModelError(f"{run}: {damage}; {remedy}") from damage
    if artifact is None:
        raise ModelError(f"{run}: {key} is no longer in the store; {remedy}")
    if artifact.sha256 != sha256:
        raise ModelError(f"{store.root / key}: is not the one of {run}; {remedy}")
    return artifact
