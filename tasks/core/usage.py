"""Usage: which artifacts are in use, by runs that have ended and by those that have not."""

import functools
import json
import os
import time
from collections import defaultdict
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.core.files import naming_the_place
from tasks.core.store import Artifact, Store


@functools.cache
def announce_use(root: Path) -> FileLock:
    """Tell that this process uses the store from now on, until it ends, however it ends.

    What it uses is marked with the time (`Store.use`), so whatever is unmarked since its start is free.

    Raises:
        StoreError: the store cannot be written.
    """
    folder = root / "locks" / "in-use"
    with naming_the_place(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{os.getpid()}-{time.time_ns()}.lock")
        lock.acquire()
    return lock


def take(store: Store, key: str) -> Artifact | None:
    """Return the artifact under `key`, verified and marked as used, so that it is not pruned; or None.

    Raises:
        RotError: something lies there, but it is not whole.
        StoreError: the store cannot be written, so the mark cannot be set.
    """
    if not (store.root / key).exists():
        return None
    announce_use(store.root)
    with store.locked(key):
        return store.use(key)


def oldest_live_use(root: Path) -> float:
    """Return when the oldest process that now uses the store began to, in seconds since 1970; now if none does."""
    oldest = time.time()
    for path in (root / "locks" / "in-use").glob("[0-9]*-[0-9]*.lock"):
        lock = FileLock(path)
        try:
            with lock.acquire(blocking=False):
                path.unlink(missing_ok=True)  # its process is gone
        except Timeout:
            # Not from the file's own times: some versions of filelock touch them when another process tries the lock.
            oldest = min(oldest, int(path.stem.partition("-")[2]) / 1e9)
    return oldest


def runs_by_artifact(root: Path) -> dict[str, list[str]]:
    """Return the names of the run folders that name each artifact's key, the newest last."""
    users = defaultdict(list)
    for metrics in sorted((root / "runs").glob("[!.]*/metrics.json")):
        if metrics.parent.is_symlink():
            continue
        try:
            made = json.loads(metrics.read_bytes())["artifacts"]
            keys = [artifact["key"] for artifact in made.values()]
        except (ValueError, KeyError, TypeError, AttributeError):
            keys = []  # a damaged run folder uses nothing; `verify` names it
        for key in keys:
            users[key].append(metrics.parent.name)
    return dict(users)
