"""Inventory: the artifacts in the store, with size, age and users, and the processes that use it."""

import contextlib
import functools
import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TypedDict

from filelock import FileLock

from tasks.core.files import explain_os_errors, is_held, list_files, lock_file, locked
from tasks.core.layout import COMPARISON, COMPARISONS, LOCKS, METRICS, NO_STEPS, RUNS
from tasks.store.artifact import Artifact, DamagedError
from tasks.store.store import MANIFEST, Store, last_used

DAY = 86_400


@functools.cache
def announce_use(root: Path, key: str = "") -> FileLock:
    """Announce that this process uses the store until it ends; return the lock, named by process id, time and `key`.

    The artifacts that a run uses are marked with the time (`Store.use`); others may be pruned. A service names the
    `key` of the only artifact that it uses.
    """
    folder = root / LOCKS / "in-use"
    own = f".{key.replace('/', '-')}" if key else ""
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{os.getpid()}-{time.time_ns()}{own}.lock")
        lock.acquire()
    return lock


def take(store: Store, key: str) -> Artifact | None:
    """Return the artifact under `key`, verified and marked as used, so that it is not pruned; or None."""
    announce_use(store.root, key)
    with store.locked(key):
        return store.use(key)


def is_live(announced: Path) -> bool:
    """Return whether the process that announced its use by this file still runs; if not, remove the file.

    The lock decides: the process id may be reused, and clocks change.
    """
    with locked(announced, wait=False, passing=True) as free:
        return not free


def live_uses(root: Path, *, dry_run: bool = False) -> tuple[float, set[str]]:
    """Return when the oldest run that uses the store now started, and the keys, with a dash for the slash, of services.

    The time is in seconds since 1970; now if there is none. Files of processes that have ended are removed, except in a
    dry run.
    """
    oldest, keys = time.time(), set()
    for path in filter(is_held if dry_run else is_live, (root / LOCKS / "in-use").glob("[0-9]*-*.lock")):
        if key := path.stem.partition(".")[2]:
            keys.add(key)
            continue
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            oldest = min(oldest, path.stat().st_ctime)
    return oldest, keys


class Entry(TypedDict):
    """One artifact: bytes, days since its last use, the runs and comparisons that use it, and any damage."""

    key: str
    size: int
    days: float
    runs: list[str]
    damage: str | None


def step_folders(root: Path) -> list[Path]:
    """Return the folders of steps in the store, in order."""
    return [folder for folder in sorted(root.glob("[!.]*/")) if folder.name not in NO_STEPS]


def artifact_keys(root: Path) -> list[str]:
    """Return the key of every artifact, in order."""
    folders = [folder for step in step_folders(root) for folder in sorted(step.glob("[!.]*/"))]
    return [f"{path.parent.name}/{path.name}" for path in folders if is_artifact(root, path)]


def is_artifact(root: Path, folder: Path) -> bool:
    """Return whether a folder has a manifest, or a lock of ours."""
    lock = lock_file(root, f"{folder.parent.name}/{folder.name}")
    # os.path returns False for a folder that we may not read; pathlib raises.
    return not folder.is_symlink() and any(map(os.path.exists, (folder / MANIFEST, lock)))


def users_by_artifact(root: Path) -> dict[str, list[str]]:
    """Return the names of the run and comparison folders that use each artifact, by its key, the newest last."""
    users = defaultdict(list)
    numbers = [*(root / RUNS).glob(f"[!.]*/{METRICS}"), *(root / COMPARISONS).glob(f"[!.]*/{COMPARISON}")]
    for path in sorted((path for path in numbers if not path.parent.is_symlink()), key=lambda path: path.parent.name):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            content = json.loads(path.read_bytes())
            members = content.get("members", [{"runs": [content]}])
            artifacts = [made for member in members for run in member["runs"] for made in run["artifacts"].values()]
            for key in {made["key"] for made in artifacts}:
                users[key].append(path.parent.name)
    return users


def list_artifacts(root: Path, *, verified: bool = False) -> list[Entry]:
    """Return every artifact with its size, age and the runs and comparisons that use it; if `verified`, its damage."""
    users, now, entries = users_by_artifact(root), time.time(), []
    for key in artifact_keys(root):
        # Another process may be removing it.
        with contextlib.suppress(FileNotFoundError):
            size = sum(path.stat().st_size for path in list_files(root / key))
            days = (now - last_used(root / key)) / DAY
            entries.append(Entry(key=key, size=size, days=days, runs=users.get(key, []), damage=None))
        if verified:
            try:
                Store(root).find(key)
            except DamagedError as damage:
                entries[-1]["damage"] = str(damage)
    return entries
