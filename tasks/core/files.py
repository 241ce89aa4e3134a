"""Files: written whole or not at all, flushed to the disk, hashed, locked, and named by the time."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.core.errors import StoreError
from tasks.core.layout import LATEST, LOCKS

# What is not under its final name yet, or no longer: .<final name>.<eight random characters>.draft
LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(draft|replaced|removed)")
STAMPED = re.compile(r"\d{8}T\d{6}Z-.+")
# Prefect shows what its own loggers' children say.
logger = logging.getLogger("prefect.locks")


@contextlib.contextmanager
def written_whole(final: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `final` at the end, flushed and atomically, or is removed on an error."""
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".draft", dir=final.parent))
    try:
        yield draft
        draft.chmod(0o755)
        for path in [*list_files(draft), draft]:
            flush(path)
        if final.exists():
            final.rename(draft.with_suffix(".replaced"))
        draft.rename(final)
        flush(final.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_whole(folder: Path, name: str = "") -> bool:
    """Remove a folder, whose final name may be another, and return whether it was still there.

    It is renamed first: a reader sees it whole or not at all, even if this process is killed meanwhile, and a process
    that still fills it fails or finishes, and never ends with half of it.
    """
    gone = folder.with_name(f".{name or folder.name}.{secrets.token_hex(4)}.removed")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return False
    shutil.rmtree(gone)
    return True


def unfinished_folders(place: Path, before: float = math.inf) -> Iterator[tuple[Path, str]]:
    """Yield the folders in `place` that killed processes left, or live ones fill, and their final names.

    Only those not written to since `before`, in seconds since 1970.
    """
    for path in sorted(place.glob(".*")):
        match = LEFT_OVER.fullmatch(path.name)
        if match and path.is_dir() and not path.is_symlink() and last_written(path) < before:
            yield path, match["name"]


def remove_unfinished(place: Path, before: float = math.inf, name: str = "") -> list[Path]:
    """Remove and return the unfinished folders of `written_whole` in `place`, or only those of the final `name`.

    No live process may fill them: hold the lock of `name`, or name a time, in seconds since 1970, long enough ago; what
    was written to since `before` is kept.
    """
    found = unfinished_folders(place, before)
    return [path for path, final in found if name in ("", final) and remove_whole(path, final)]


def last_written(folder: Path) -> float:
    """Return when a folder or anything in it was last written; infinity if it is gone, because someone is at it."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return math.inf


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_bytes(content)
        flush(draft)
        draft.replace(path)
        flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make the operating system write a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# What no file name is needed for to know that it was a write that failed.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
IN_WORDS = re.compile(r"errno = (\d+)")  # as HDF5 tells it


@contextlib.contextmanager
def explain_os_errors(place: Path) -> Iterator[None]:
    """Turn errors of writing to `place` into errors that name it and the remedy; others pass unchanged.

    Errors of writing are those of a full or read-only disk, and those whose file is `place`, lies in it or in a draft
    of it, or is a folder above it.
    """
    try:
        yield
    except OSError as error:
        names = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        in_words = IN_WORDS.search(str(error))
        code = error.errno or (int(in_words[1]) if in_words else None)
        if code not in FULL and not any(belongs_to(name, place) for name in names):
            raise
        raise StoreError(
            f"{' to '.join(map(str, names)) or place}: cannot write here ({error.strerror or error}); free space or "
            "fix the folder's permissions, then run again: finished steps and epochs are kept"
        ) from error


def belongs_to(path: Path, place: Path) -> bool:
    """Return whether a path is `place`, lies in it or in a draft of it, or is a folder above it."""
    path, place = path.absolute(), place.absolute()
    is_near = path.is_relative_to(place) or place.is_relative_to(path)
    return is_near or str(path).startswith(f"{place.parent / f'.{place.name}.'}")


def list_files(folder: Path) -> list[Path]:
    """Return all files below `folder`, in order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


UNFINISHED_SECONDS = 3600  # no such folder takes so long to write


@contextlib.contextmanager
def written_as_newest(place: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """Yield an empty folder and its final path, `<place>/<UTC time>-<name>`; at the end `latest` points to it."""
    with explain_os_errors(place):
        remove_unfinished(place, time.time() - UNFINISHED_SECONDS)
        final = place / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name.replace('/', '-')}"  # so they sort by age
        link = place / f".{LATEST}.{os.getpid()}"
        with written_whole(final) as draft:
            yield draft, final
        link.unlink(missing_ok=True)
        link.symlink_to(final.name)
        link.replace(place / LATEST)


def lock_file(root: Path, key: str) -> Path:
    """Return the lock of an artifact's key, or of another name with a slash in it, in the store at `root`."""
    return root / LOCKS / f"{key.replace('/', '-')}.lock"


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock in the file `path`; nothing is written."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def locked(path: Path, what: str = "", *, wait: bool = True, passing: bool = False) -> Iterator[bool]:
    """Hold the lock in the file `path`, and yield whether it is held; raise StoreError if the file cannot be created.

    Args:
        path: created if it is missing, with its folder.
        what: is done under the lock, for the log.
        wait: for another process that holds it, and log that; if False, yield False at once.
        passing: remove the file at the end, as next to a user's own files; a waiting process creates it again.
    """
    from filelock import FileLock, Timeout  # a model in MLflow needs this module, but no locks

    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
        if wait and not lock.is_locked:
            logger.info("%s: another run is working on it; waiting until it is done", what)
            lock.acquire()
    try:
        yield lock.is_locked
    finally:
        if passing and lock.is_locked:
            path.unlink(missing_ok=True)
        lock.release()
