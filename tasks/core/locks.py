"""Locks: one process at a time; the operating system frees a lock when its holder ends, however it ends."""

import contextlib
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


@contextlib.contextmanager
def locked(path: Path, what: str, *, passing: bool = False) -> Iterator[None]:
    """Hold the lock in the file `path`; where another process holds it, say so and wait.

    Args:
        path: made where it is missing, its folder too. It is touched, so its time tells when it was last held.
        what: that is done under the lock, for the line in the log.
        passing: remove the file at the end, as beside a user's own files; who waits for it makes it anew.

    Raises:
        StoreError: the file cannot be made.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            logger.info("%s: another run is at it; waiting until it is done", what)
            lock.acquire()
        os.utime(path)
    try:
        yield
    finally:
        if passing:
            path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock in the file `path` and give True, or give False at once where another process holds it.

    Raises:
        StoreError: the file cannot be made.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
    try:
        yield lock.is_locked
    finally:
        lock.release()
