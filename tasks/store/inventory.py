"""Inventory: the artifacts in the store, with their size, age and users, and the files that are not ours."""

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from tasks.core.files import list_files
from tasks.core.layout import COMPARISON, COMPARISONS, METRICS, NO_STEPS, RUNS
from tasks.core.locks import lock_file
from tasks.store.store import MANIFEST, last_used

DAY = 86_400


class Entry(TypedDict):
    """One artifact: bytes, days since its last use, the runs and comparisons that use it, and any damage."""

    key: str
    size: int
    days: float
    runs: list[str]
    damage: str | None


def step_folders(root: Path) -> list[Path]:
    """Return the folders of steps in the store, in order."""
    return [folder for folder in sorted(root.glob("[!.]*/")) if folder.is_dir() and folder.name not in NO_STEPS]


def places(root: Path) -> Iterator[str]:
    """Yield `<step>/<name>` of every folder in the folders of steps, in order."""
    for step in step_folders(root):
        yield from (f"{step.name}/{folder.name}" for folder in sorted(step.glob("[!.]*/")) if folder.is_dir())


def is_artifact(root: Path, key: str) -> bool:
    """Return whether a folder has a manifest, or a lock of ours."""
    folder = root / key
    # os.path returns False for a folder that we may not read; pathlib raises.
    return not folder.is_symlink() and any(map(os.path.exists, (folder / MANIFEST, lock_file(root, key))))


def artifact_keys(root: Path) -> list[str]:
    """Return the key of every artifact, in order."""
    return [key for key in places(root) if is_artifact(root, key)]


def foreign_files(root: Path) -> list[str]:
    """Return the folders in the folders of steps that are not artifacts, in order."""
    return [key for key in places(root) if not is_artifact(root, key)]


def users_by_artifact(root: Path) -> dict[str, list[str]]:
    """Return the names of the run and comparison folders that use each artifact, by its key, the newest last."""
    users = defaultdict(list)
    files = [*(root / RUNS).glob(f"[!.]*/{METRICS}"), *(root / COMPARISONS).glob(f"[!.]*/{COMPARISON}")]
    for file in sorted(files, key=lambda file: file.parent.name):
        if file.parent.is_symlink():
            continue
        try:
            content = json.loads(file.read_bytes())
            members = content.get("members", [{"runs": [content]}])
            keys = {made["key"] for member in members for run in member["runs"] for made in run["artifacts"].values()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a damaged folder uses nothing; `verify` names it
        for key in keys:
            users[key].append(file.parent.name)
    return users


def list_artifacts(root: Path) -> list[Entry]:
    """Return every artifact with its size, age and the runs and comparisons that use it, unverified."""
    users, now, entries = users_by_artifact(root), time.time(), []
    for key in artifact_keys(root):
        # Another process may be removing it.
        with contextlib.suppress(FileNotFoundError):
            size = sum(path.stat().st_size for path in list_files(root / key))
            days = (now - last_used(root / key)) / DAY
            entries.append(Entry(key=key, size=size, days=days, runs=users.get(key, []), damage=None))
    return entries
