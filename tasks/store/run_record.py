"""The record of a finished run: what its folder and the store say of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.core.layout import CONFIG, METRICS, RUNS
from tasks.core.paths import user_path
from tasks.core.settings import RunSettings
from tasks.store.artifact import Artifact, DamagedError
from tasks.store.in_use import take
from tasks.store.store import Store


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
    remedy = f"repeat the run to rebuild it (train --like {run.name})"
    try:
        artifact = store.find(key) if read_only else take(store, key)
    except DamagedError as damage:
        raise ModelError(f"{run}: {damage}; {remedy}") from damage
    if artifact is None:
        raise ModelError(f"{run}: {key} is no longer in the store; {remedy}")
    if artifact.sha256 != sha256:
        raise ModelError(f"{store.root / key}: is not the one of {run}; {remedy}")
    return artifact
