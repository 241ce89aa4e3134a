"""Housekeeping: what is in the store, whether it is whole, and the removal of what no run uses any longer."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.core.environment import store_root
from tasks.core.flow_settings import HousekeepingSettings
from tasks.core.sealed import RotError
from tasks.core.store import Store, last_used
from tasks.core.usage import oldest_live_use, runs_by_artifact

NO_STEPS = frozenset(
    [
        "checkpoints",
        "failures",
        "inbox",
        "keras",
        "locks",
        "matplotlib",
        "mlflow",
        "prefect",
        "results",
        "runs",
        "scored",
    ]
)
DAY = 86_400


class Entry(TypedDict):
    """One artifact: its bytes, days since it was last used, the runs that name it, and what is wrong with it."""

    key: str
    size: int
    days: float
    runs: list[str]
    rot: str | None


def artifact_keys(root: Path) -> Iterator[str]:
    """Yield the key of everything that stands in an artifact's place, in order."""
    for step in sorted(root.glob("[!.]*/")):
        if step.name not in NO_STEPS and step.is_dir():
            yield from (f"{step.name}/{folder.name}" for folder in sorted(step.glob("[!.]*/")) if folder.is_dir())


def list_artifacts(root: Path) -> list[Entry]:
    """Return every artifact with its size, age and the runs that use it, unverified."""
    users, now = runs_by_artifact(root), time.time()
    return [
        Entry(
            key=key,
            size=sum(path.stat().st_size for path in (root / key).rglob("*") if path.is_file()),
            days=(now - last_used(root / key)) / DAY,
            runs=users.get(key, []),
            rot=None,
        )
        for key in artifact_keys(root)
    ]


def verify_artifacts(root: Path) -> list[Entry]:
    """Return every artifact, with what is wrong where a hash or size is not what its manifest says."""
    entries = list_artifacts(root)
    for entry in entries:
        try:
            Store(root).find(entry["key"])
        except RotError as rot:
            entry["rot"] = str(rot)
    return entries


def damaged_runs(root: Path) -> list[str]:
    """Return the run folders whose JSON files are missing or unreadable."""
    damaged = []
    for folder in sorted((root / "runs").glob("[!.]*/")):
        try:
            for name in ("config.json", "metrics.json"):
                json.loads((folder / name).read_bytes())
        except (OSError, ValueError):
            damaged.append(folder.name)
    return damaged


def prune_artifacts(root: Path, days: int) -> list[Entry]:
    """Remove what was last used more than `days` ago and before any run that is going on, and return it.

    An artifact is removed under its lock, and only if it is still unused then: a run that begins meanwhile
    either finds it gone and makes it again, or marks it used first and keeps it.
    """
    store, removed = Store(root), []
    cutoff = min(time.time() - days * DAY, oldest_live_use(root))
    for entry in list_artifacts(root):
        with store.locked(entry["key"]):
            folder = root / entry["key"]
            if last_used(folder) < cutoff:
                gone = folder.with_name(f".{folder.name}.pruned")
                folder.rename(gone)
                shutil.rmtree(gone)
                (root / "results" / entry["key"]).unlink(missing_ok=True)
                removed.append(entry)
    prune_checkpoints(root, cutoff)
    return removed


def prune_checkpoints(root: Path, cutoff: float) -> None:
    """Remove the checkpoints of training runs that were given up before `cutoff`, in seconds since 1970."""
    for folder in (root / "checkpoints").glob("*/*/"):
        with Store(root).locked(folder.relative_to(root / "checkpoints").as_posix()):
            if max((path.stat().st_mtime for path in folder.iterdir()), default=0.0) < cutoff:
                shutil.rmtree(folder)


@task(cache_policy=NO_CACHE, task_run_name="{settings.action}")
def keep_house(settings: HousekeepingSettings) -> dict[str, Any]:
    """List, verify or prune the store's artifacts."""
    root, say = store_root(), get_run_logger()
    if settings.action == "prune":
        artifacts, damaged = prune_artifacts(root, settings.days), []
    elif settings.action == "verify":
        artifacts, damaged = verify_artifacts(root), damaged_runs(root)
    else:
        artifacts, damaged = list_artifacts(root), []
    for entry in artifacts:
        if entry["rot"]:
            say.warning("%s; the next run that needs it makes it again", entry["rot"])
    for name in damaged:
        say.warning("%s: config.json or metrics.json is missing or unreadable", root / "runs" / name)
    say.info("%s: %d artifacts, %d bytes", settings.action, len(artifacts), sum(entry["size"] for entry in artifacts))
    return {"action": settings.action, "artifacts": artifacts, "damaged_runs": damaged}
