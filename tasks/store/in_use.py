"""In use: running processes announce that they use the store, so that pruning spares what they use."""

import contextlib
import functools
import os
import time
from pathlib import Path

from filelock import FileLock

from tasks.core.files import explain_os_errors
from tasks.core.layout import LOCKS
from tasks.core.locks import is_held, locked
from tasks.store.artifact import Artifact
from tasks.store.store import Store


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
    with locked(announced, wait=False) as free:
        if free:
            announced.unlink(missing_ok=True)
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
