"""Usage: which artifacts are in use, by runs that have ended and by those that have not."""

import functools
import json
import os
import time
from collections import defaultdict
from pathlib import Path

from filelock import FileLock

from tasks.core.files import explain_os_errors
from tasks.core.locks import locked
from tasks.store.artifact import Artifact
from tasks.store.store import Store


@functools.cache
def announce_use(root: Path) -> FileLock:
    """Tell that this process uses the store from now on, until it ends, however it ends.

    What it uses is marked with the time (`Store.use`), so whatever is unmarked since its start is free.

    Returns:
        The lock; its file is named by the process's id and the time.

    Raises:
        StoreError: the store cannot be written.
    """
    folder = root / "locks" / "in-use"
    with explain_os_errors(folder):
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
    if not store.exists(key):
        return None
    announce_use(store.root)
    with store.locked(key):
        return store.use(key)


def is_live(announced: Path) -> bool:
    """Tell whether the process that announced its use by this file goes on; the file of one that has ended is removed.

    Its lock tells, not its pid, which may be another process's by now, nor a time, which a clock may set anew.
    """
    if not announced.exists():
        return False
    with locked(announced, wait=False) as free:
        if free:
            announced.unlink(missing_ok=True)
    return not free


def oldest_live_use(root: Path) -> float:
    """Return when the oldest process that now uses the store began to, in seconds since 1970; now if none does."""
    announced = (root / "locks" / "in-use").glob("[0-9]*-[0-9]*.lock")
    return min((path.stat().st_ctime for path in announced if is_live(path)), default=time.time())


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
