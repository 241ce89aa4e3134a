"""The artifact store: what a step made, kept whole or not at all, and checked before it is used again."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.core.errors import StoreError

MANIFEST = "artifact.json"

Record = TypeVar("Record", bound=BaseModel)


class RotError(StoreError):
    """A kept artifact is not what its record says it is."""


class FileRecord(BaseModel):
    """One file of an artifact: its size in bytes and its sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Artifact(BaseModel):
    """What a step made: small enough for a task to return, with the files left in the store.

    Attributes:
        key: `<step>/<cache key>`, also the folder below the store's root.
        files: each file's name, size and sha256.
        meta: facts for people, as JSON values. They are no part of `sha256`, so seconds may stand here, and
            nothing that shapes a later step may: that belongs into a file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    files: dict[str, FileRecord]
    meta: dict[str, Any] = {}

    @property
    def step(self) -> str:
        """The step that made it."""
        return self.key.partition("/")[0]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.files.values())

    @property
    def sha256(self) -> str:
        """Hash of the content: of the names and hashes of all files."""
        return digest({name: record.sha256 for name, record in self.files.items()})


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def seal(value: BaseModel) -> bytes:
    """Return a record as JSON with a hash of itself."""
    content = value.model_dump(mode="json")
    return json.dumps({"content": content, "sha256": digest(content)}, indent=1).encode()


def unseal(path: Path, kind: type[Record]) -> Record:
    """Return the record that `seal` wrote to `path`.

    Raises:
        RotError: it is missing, or not as it was written.
    """
    try:
        content = path.read_bytes()
        sealed = json.loads(content)
        record = kind.model_validate(sealed["content"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise RotError(f"{path}: missing or unreadable") from error
    if content != seal(record):
        raise RotError(f"{path}: altered")
    return record


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """A folder of artifacts."""

    def __init__(self, root: Path) -> None:
        """Keep artifacts below `root`, which is made when it is first written."""
        self.root = root

    def path(self, artifact: Artifact, name: str = "") -> Path:
        """Return where `artifact`, or its file `name`, lies.

        Raises:
            RotError: the artifact has no such file.
        """
        if name and name not in artifact.files:
            raise RotError(f"{self.root / artifact.key}: holds no {name}, only {', '.join(artifact.files)}")
        return self.root / artifact.key / name

    def verify(self, artifact: Artifact) -> None:
        """Check that every file of `artifact` is there with its size and sha256, and nothing else is.

        Raises:
            RotError: naming the first file that is not.
        """
        folder = self.root / artifact.key
        for name, record in artifact.files.items():
            path = folder / name
            if not path.is_file():
                raise RotError(f"{path}: missing")
            if path.stat().st_size != record.size:
                raise RotError(f"{path}: {path.stat().st_size} bytes, expected {record.size}")
            if hash_file(path) != record.sha256:
                raise RotError(f"{path}: sha256 differs from its record")
        strangers = {path.relative_to(folder).as_posix() for path in list_files(folder)}
        strangers -= {MANIFEST, *artifact.files}
        if strangers:
            raise RotError(f"{folder / min(strangers)}: not part of the artifact")

    def find(self, key: str) -> Artifact | None:
        """Return the whole artifact under `key`, or None where there is none.

        Raises:
            RotError: something lies there, but it is not whole.
        """
        folder = self.root / key
        if not folder.exists():
            return None
        artifact = unseal(folder / MANIFEST, Artifact)
        if artifact.key != key:
            raise RotError(f"{folder / MANIFEST}: is of {artifact.key}")
        self.verify(artifact)
        return artifact

    def use(self, key: str) -> Artifact | None:
        """Return what `find` returns, and note on it that it was used just now; call it under the key's lock.

        Raises:
            RotError: something lies there, but it is not whole.
            StoreError: the note cannot be written.
        """
        artifact = self.find(key)
        if artifact:
            with naming_the_place(self.root / key):
                mark_used(self.root / key)
        return artifact

    def make(
        self,
        key: str,
        fill: Callable[[Path], dict[str, Any]],
        *,
        warn: Callable[[str], None],
        refresh: bool = False,
    ) -> Artifact:
        """Return the artifact under `key`, calling `fill` only when no whole one is there.

        One process at a time makes a key; others wait for it and take what it made. The files are written to
        a folder beside the final one and renamed, so a reader sees a whole artifact or none.

        Args:
            key: `<step>/<cache key>`.
            fill: writes the files into the empty folder that it is given and returns the artifact's meta.
            warn: told of rot that was found and is made again.
            refresh: make it even when a whole one is there.

        Raises:
            StoreError: the store cannot be written.
        """
        with self.locked(key):
            if not refresh:
                try:
                    if found := self.use(key):
                        return found
                except RotError as rot:
                    warn(f"{rot}; making it again")
            with naming_the_place(self.root / key):
                self._sweep(key)
                return self._write(key, fill)

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the lock of `key`; the operating system frees it when its process ends, however it ends."""
        path = self.root / "locks" / f"{key.replace('/', '-')}.lock"
        with naming_the_place(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _write(self, key: str, fill: Callable[[Path], dict[str, Any]]) -> Artifact:
        with written_whole(self.root / key) as draft:
            meta = fill(draft)
            artifact = Artifact(key=key, files=record_files(draft), meta=meta)
            (draft / MANIFEST).write_bytes(seal(artifact))
        self._sweep(key)
        return artifact

    def _sweep(self, key: str) -> None:
        """Remove drafts of `key` that a killed or failed maker left; call it only under the key's lock."""
        final = self.root / key
        for left in final.parent.glob(f".{final.name}.*"):
            shutil.rmtree(left)


@contextlib.contextmanager
def written_whole(final: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `final` at the end, flushed and at once, or vanishes on an error.

    What stood at `final` before is set aside, beside it, under a hidden name.
    """
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


def mark_used(artifact: Path) -> None:
    """Note on an artifact's manifest that it was used just now."""
    os.utime(artifact / MANIFEST)


def last_used(artifact: Path) -> float:
    """Return when an artifact was made or last used, in seconds since 1970; 0 for what is no artifact."""
    manifest = artifact / MANIFEST
    return manifest.stat().st_mtime if manifest.exists() else 0.0


@contextlib.contextmanager
def naming_the_place(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals into errors that name the place and the remedy.

    Args:
        place: what is being written, for refusals that do not name a file themselves.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{error.filename or place}: cannot write here ({error.strerror or error}); free space or mend the "
            "folder's rights, then run again: finished steps and epochs are kept"
        ) from error


def list_files(folder: Path) -> list[Path]:
    """Return all files below `folder`, in order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Return the size and hash of every file below `folder`."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(size=path.stat().st_size, sha256=hash_file(path))
        for path in list_files(folder)
    }


def flush(path: Path) -> None:
    """Make the operating system write a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
