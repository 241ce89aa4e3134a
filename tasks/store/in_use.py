"""In use: running processes announce that they use the store, so that pruning spares what they use."""

import functools
import os
import time
from pathlib import Path

from filelock import FileLock

from tasks.core.files import explain_os_errors
from tasks.core.locks import locked
from tasks.store.artifact import Artifact
from tasks.store.store import Store


@functools.cache
def announce_use(root: Path) -> FileLock:
    """Announce that this process uses the store until it ends, and return the lock, named by process id and time.

    The artifacts that it uses are marked with the time (`Store.use`); others may be pruned.

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
        DamagedError: there is one, but it is damaged.
        StoreError: the store cannot be written, so the mark cannot be set.
    """
    if not store.exists(key):
        return None
    announce_use(store.root)
    with store.locked(key):
        return store.use(key)


def is_live(announced: Path) -> bool:
    """Return whether the process that announced its use by this file still runs; if not, remove the file.

    The lock decides: the process id may be reused, and clocks change.
    """
    if not announced.exists():
        return False
    with locked(announced, wait=False) as free:
        if free:
            announced.unlink(missing_ok=True)
    return not free


def oldest_live_use(root: Path) -> float:
    """Return when the oldest process that uses the store now started, in seconds since 1970; now if there is none."""
    announced = (root / "locks" / "in-use").glob("[0-9]*-[0-9]*.lock")
    return min((path.stat().st_ctime for path in announced if is_live(path)), default=time.time())
