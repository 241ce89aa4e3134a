"""The artifact store: content-addressed folders, written atomically and verified before they are reused."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.core.files import (
    explain_os_errors,
    hash_file,
    list_files,
    lock_file,
    locked,
    remove_unfinished,
    written_whole,
)
from tasks.store.artifact import Artifact, DamagedError, record_files, seal, unseal

MANIFEST = "artifact.json"
Fill = Callable[[Path], dict[str, Any]]
# Prefect shows the records of its own loggers' children.
logger = logging.getLogger("prefect.store")


class Store:
    """Artifacts in a folder of this machine, one folder each, named `<step>/<cache key>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, artifact: Artifact, name: str = "") -> Path:
        """Return the folder of `artifact`, or its file `name`."""
        return self.root / artifact.key / name

    def read(self, key: str) -> Artifact:
        """Return the manifest under `key`, without a look at its files; DamagedError if it is missing or altered."""
        path = self.root / key / MANIFEST
        artifact = unseal(path, Artifact)
        if artifact.key != key:
            raise DamagedError(f"{path}: belongs to {artifact.key}")
        return artifact

    def peek(self, key: str) -> Artifact | None:
        """Return the manifest under `key`, or None if there is none or it is damaged; nothing is fetched or checked."""
        try:
            return self.read(key)
        except DamagedError:
            return None

    def verify(self, artifact: Artifact) -> None:
        """Raise DamagedError for the first file of `artifact` with another size or hash, or that is not part of it."""
        folder = self.root / artifact.key
        for name, record in artifact.files.items():
            path = folder / name
            try:
                if path.stat().st_size != record.size:
                    raise DamagedError(f"{path}: {path.stat().st_size} bytes, expected {record.size}")
                if hash_file(path) != record.sha256:
                    raise DamagedError(f"{path}: its sha256 differs from the manifest's")
            except FileNotFoundError as error:
                raise DamagedError(f"{path}: missing") from error
            except OSError as error:
                raise DamagedError(f"{path}: cannot be read ({error.strerror or error})") from error
        if foreign := self.foreign_files(artifact):
            raise DamagedError(f"{foreign[0]}: not part of the artifact")

    def foreign_files(self, artifact: Artifact) -> list[Path]:
        """Return the files in the artifact's folder that are not part of it."""
        folder = self.root / artifact.key
        own = {folder / name for name in (MANIFEST, *artifact.files)}
        return [path for path in list_files(folder) if path not in own]

    def find(self, key: str) -> Artifact | None:
        """Return the verified artifact under `key`, or None if there is none; raise DamagedError for a damaged one."""
        if not (self.root / key).exists():
            return None
        artifact = self.read(key)
        self.verify(artifact)
        return artifact

    def use(self, key: str) -> Artifact | None:
        """Return what `find` returns and mark it as used now; call it under the key's lock."""
        artifact = self.find(key)
        if artifact:
            with explain_os_errors(self.root / key):
                mark_used(self.root / key)
        return artifact

    def get_or_make(
        self, key: str, fill: Fill, *, made_of: Mapping[str, Any] | None = None, refresh: bool = False
    ) -> tuple[Artifact, bool]:
        """Return the artifact under `key` and whether it was there already; if not, `fill` makes it.

        Only one process, of all machines that share the store, makes a key; the others wait and take the result. The
        files are written to a temporary sibling and renamed, so a reader sees the whole artifact or none. Raise
        StoreError if the store cannot be written.

        Args:
            fill: writes the files into the empty folder that it is given and returns the artifact's meta.
            made_of: what the key was made of.
            refresh: make it even if it is there.
        """
        with self.locked(key):
            if not refresh:
                try:
                    if found := self.use(key):
                        return found, True
                except DamagedError as damage:
                    logger.warning("%s; rebuilding it", damage)
                    refresh = True
            return self._make(key, fill, made_of or {}, replace=refresh)

    def locked(self, key: str, *, wait: bool = True) -> contextlib.AbstractContextManager[bool]:
        """Hold this machine's lock of `key`, an artifact's or another name with a slash, as `files.locked` does."""
        return locked(lock_file(self.root, key), key, wait=wait)

    @contextlib.contextmanager
    def held(self, key: str, *, wait: bool = True) -> Iterator[Callable[[], None] | None]:
        """Hold `key` against all processes of all machines that share the store.

        Yield a function to call before each write, which raises LeaseLostError if another machine has taken over; None
        if the key is not held.
        """
        with self.locked(key, wait=wait) as is_held:
            yield (lambda: None) if is_held else None

    def share_folder(self, folder: Path) -> None:
        """Make a folder of this store visible to all machines that share it."""

    def _make(self, key: str, fill: Fill, made_of: Mapping[str, Any], *, replace: bool) -> tuple[Artifact, bool]:
        """Make the artifact under `key`, in place of one that is there if `replace`; call it under the key's lock."""
        with self._draft(key) as draft:
            return fill_draft(draft, key, fill, made_of), False

    @contextlib.contextmanager
    def _draft(self, key: str) -> Iterator[Path]:
        """Yield an empty folder that becomes the artifact's at the end; remove what killed or failed processes left."""
        final = self.root / key
        with explain_os_errors(final):
            remove_unfinished(final.parent, name=final.name)
            with written_whole(final) as draft:
                yield draft
            remove_unfinished(final.parent, name=final.name)


def fill_draft(draft: Path, key: str, fill: Fill, made_of: Mapping[str, Any]) -> Artifact:
    """Fill an empty folder, write its manifest, and return the artifact."""
    meta = fill(draft)
    artifact = Artifact(key=key, files=record_files(draft), meta=meta, made_of=dict(made_of))
    (draft / MANIFEST).write_bytes(seal(artifact))
    return artifact


def mark_used(folder: Path) -> None:
    """Mark an artifact as used now, by the time of its manifest."""
    os.utime(folder / MANIFEST)


def last_used(folder: Path) -> float:
    """Return when an artifact was made or last used, in seconds since 1970; 0 if it has no manifest."""
    try:
        return (folder / MANIFEST).stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return 0.0
