"""Inventory: what stands in the store: artifacts, with their size, age and users, and what is no artifact of ours."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from tasks.core.files import list_files
from tasks.core.locks import lock_file
from tasks.store.in_use import runs_by_artifact
from tasks.store.store import MANIFEST, last_used

NO_STEPS = frozenset(
    [
        "checkpoints",
        "comparisons",
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
        "studies",
    ]
)
DAY = 86_400


class Entry(TypedDict):
    """One artifact: its bytes, days since it was last used, the runs that name it, and what is wrong with it."""

    key: str
    size: int
    days: float
    runs: list[str]
    damage: str | None


def step_folders(root: Path) -> list[Path]:
    """Return the folders in the store where steps may keep their artifacts, in order."""
    return [folder for folder in sorted(root.glob("[!.]*/")) if folder.is_dir() and folder.name not in NO_STEPS]


def places(root: Path) -> Iterator[str]:
    """Yield `<step>/<name>` of every folder that stands where artifacts do, in order."""
    for step in step_folders(root):
        yield from (f"{step.name}/{folder.name}" for folder in sorted(step.glob("[!.]*/")) if folder.is_dir())


def is_artifact(root: Path, key: str) -> bool:
    """Tell whether what stands in an artifact's place has a manifest, or one of our records says that it is one."""
    folder = root / key
    # Of a folder that we may not look into, os.path says that it has none; pathlib would raise.
    return not folder.is_symlink() and any(map(os.path.exists, (folder / MANIFEST, lock_file(root, key))))


def artifact_keys(root: Path) -> list[str]:
    """Return the key of every artifact, in order."""
    return [key for key in places(root) if is_artifact(root, key)]


def foreign_files(root: Path) -> list[str]:
    """Return what stands in an artifact's place and is none, in order."""
    return [key for key in places(root) if not is_artifact(root, key)]


def comparisons_by_artifact(root: Path) -> dict[str, list[str]]:
    """Return the names of the comparisons whose members name each artifact's key, the newest last."""
    users: dict[str, list[str]] = {}
    for file in sorted((root / "comparisons").glob("[!.]*/comparison.json")):
        if file.parent.is_symlink():
            continue
        try:
            runs = [run for member in json.loads(file.read_bytes())["members"] for run in member["runs"]]
            keys = {artifact["key"] for run in runs for artifact in run["artifacts"].values()}
        except (ValueError, KeyError, TypeError, AttributeError):
            keys = set()  # a damaged folder uses nothing; `verify` names it
        for key in keys:
            users.setdefault(key, []).append(file.parent.name)
    return users


def list_artifacts(root: Path) -> list[Entry]:
    """Return every artifact with its size, age and the runs and comparisons that use it, unverified."""
    users, now = runs_by_artifact(root), time.time()
    for key, names in comparisons_by_artifact(root).items():
        users[key] = sorted([*users.get(key, []), *names])
    return [
        Entry(
            key=key,
            size=sum(path.stat().st_size for path in list_files(root / key)),
            days=(now - last_used(root / key)) / DAY,
            runs=users.get(key, []),
            damage=None,
        )
        for key in artifact_keys(root)
    ]
