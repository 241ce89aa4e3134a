"""Locks: one process at a time; the operating system frees a lock when its holder ends, however it ends."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.core.files import explain_os_errors
from tasks.core.layout import LOCKS

# Prefect shows what its own loggers' children say.
logger = logging.getLogger("prefect.locks")


def lock_file(root: Path, key: str) -> Path:
    """Return the lock of an artifact's key, or of another name with a slash in it, in the store at `root`."""
    return root / LOCKS / f"{key.replace('/', '-')}.lock"


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock in the file `path`; nothing is written."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def locked(path: Path, what: str = "", *, wait: bool = True, passing: bool = False) -> Iterator[bool]:
    """Hold the lock in the file `path`, and yield whether it is held; raise StoreError if the file cannot be created.

    Args:
        path: created if it is missing, with its folder. Its time tells when the lock was last waited for and taken.
        what: is done under the lock, for the log.
        wait: for another process that holds it, and log that; if False, yield False at once.
        passing: remove the file at the end, as next to a user's own files; a waiting process creates it again.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
        if wait and not lock.is_locked:
            logger.info("%s: another run is working on it; waiting until it is done", what)
            lock.acquire()
        if wait:
            os.utime(path)
    try:
        yield lock.is_locked
    finally:
        if passing and lock.is_locked:
            path.unlink(missing_ok=True)
        lock.release()
