"""The artifact store: what a step made, kept whole or not at all, and checked before it is used again."""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tasks.core.environment import store_root
from tasks.core.files import explain_os_errors, hash_file, list_files, unfinished_folders, written_whole
from tasks.core.locks import lock_file, locked, locked_if_free
from tasks.store.artifact import Artifact, DamagedError, hashes, record_files, seal, unseal
from tasks.store.leases import leased
from tasks.store.shared_store import SharedStore, shared_store

MANIFEST = "artifact.json"
# Prefect shows what its own loggers' children say.
logger = logging.getLogger("prefect.cache")


class Store:
    """A folder of artifacts; where it is shared, a copy of what several machines have in common.

    What the shared store says of an artifact is so: a copy that differs is fetched anew, by the hashes of its files.
    """

    def __init__(self, root: Path, shared: SharedStore | None = None) -> None:
        """Keep artifacts below `root`, which is made when it is first written."""
        self.root, self.shared = root, shared

    def path(self, artifact: Artifact, name: str = "") -> Path:
        """Return where `artifact`, or its file `name`, lies; what another machine made is fetched first.

        Raises:
            RotError: the artifact has no such file, or cannot be fetched whole.
        """
        if name and name not in artifact.files:
            raise DamagedError(f"{self.root / artifact.key}: holds no {name}, only {', '.join(artifact.files)}")
        if self.shared and not self._has_copy(artifact):
            with self.locked(artifact.key):
                if self.find(artifact.key) != artifact:
                    raise DamagedError(f"{artifact.key}: is no longer what this run was told of; run again")
        return self.root / artifact.key / name

    def _has_copy(self, artifact: Artifact) -> bool:
        """Tell whether what lies under its key is this artifact, going by its record."""
        try:
            return self.read(artifact.key) == artifact
        except DamagedError:
            return False

    def exists(self, key: str) -> bool:
        """Tell whether something is kept under `key`, whole or not."""
        return (self.root / key).exists() if self.shared is None else self.shared.manifest(key) is not None

    def read(self, key: str) -> Artifact:
        """Return the record of what lies under `key`; its files are not looked at.

        Raises:
            RotError: there is none, or it was altered, or is of another key.
        """
        path = self.root / key / MANIFEST
        artifact = unseal(path, Artifact)
        if artifact.key != key:
            raise DamagedError(f"{path}: is of {artifact.key}")
        return artifact

    def verify(self, artifact: Artifact) -> None:
        """Check that every file of `artifact` is there with its size and sha256, and nothing else is.

        Raises:
            RotError: naming the first file that is not.
        """
        folder = self.root / artifact.key
        for name, record in artifact.files.items():
            path = folder / name
            try:
                if not path.is_file():
                    raise DamagedError(f"{path}: missing")
                if path.stat().st_size != record.size:
                    raise DamagedError(f"{path}: {path.stat().st_size} bytes, expected {record.size}")
                if hash_file(path) != record.sha256:
                    raise DamagedError(f"{path}: sha256 differs from its record")
            except OSError as error:
                raise DamagedError(f"{path}: cannot be read ({error.strerror or error})") from error
        foreign_files = self.foreign_files(artifact)
        if foreign_files:
            raise DamagedError(f"{foreign_files[0]}: not part of the artifact")

    def foreign_files(self, artifact: Artifact) -> list[Path]:
        """Return what lies among the files of `artifact` and is none of them."""
        folder = self.root / artifact.key
        own = {folder / name for name in (MANIFEST, *artifact.files)}
        return [path for path in list_files(folder) if path not in own]

    def find(self, key: str) -> Artifact | None:
        """Return the whole artifact under `key`, or None where there is none.

        Raises:
            RotError: something lies there, but it is not whole.
        """
        folder = self.root / key
        if self.shared and not self._bring(self.shared, key):
            return None
        if not folder.exists():
            return None
        artifact = self.read(key)
        self.verify(artifact)
        return artifact

    def _bring(self, shared: SharedStore, key: str) -> bool:
        """Make the copy of `key` what the shared store has, and tell whether it has anything."""
        manifest, copy = shared.manifest(key), self.root / key
        if manifest is None:
            return False
        if (copy / MANIFEST).is_file() and (copy / MANIFEST).read_bytes() == manifest:
            try:
                self.verify(self.read(key))
                return True
            except DamagedError as damage:
                logger.warning("%s; fetching it again", damage)
        with explain_os_errors(copy), written_whole(copy) as draft:
            self._fetch(shared, key, manifest, draft)
        return True

    def _fetch(self, shared: SharedStore, key: str, manifest: bytes, folder: Path) -> Artifact:
        """Write what `manifest` names into an empty folder."""
        (folder / MANIFEST).write_bytes(manifest)
        artifact = unseal(folder / MANIFEST, Artifact)
        if artifact.key != key:
            raise DamagedError(f"{shared.bucket.where(key)}: is of {artifact.key}")
        shared.fetch(hashes(artifact), folder)
        return artifact

    def use(self, key: str) -> Artifact | None:
        """Return what `find` returns, and note on it that it was used just now; call it under the key's lock.

        Raises:
            RotError: something lies there, but it is not whole.
            StoreError: the note cannot be written.
        """
        artifact = self.find(key)
        if artifact:
            with explain_os_errors(self.root / key):
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

        One process at a time makes a key, of all machines that share the store; others wait for it and take what it
        made. The files are written to a folder beside the final one and renamed, so a reader sees a whole artifact or
        none. Where two machines have made one all the same, both end with that which was there first.

        Args:
            key: `<step>/<cache key>`.
            fill: writes the files into the empty folder that it is given and returns the artifact's meta.
            warn: told of rot that was found and is made again.
            refresh: make it even when a whole one is there.

        Raises:
            StoreError: the store cannot be written.
        """
        with self.locked(key), contextlib.ExitStack() as at_it:
            anew = refresh
            if not refresh:
                try:
                    if found := self.use(key):
                        return found
                except DamagedError as damage:
                    warn(f"{damage}; making it again")
                    anew = True
            rotten = self.shared.manifest(key) if self.shared and anew else None
            if self.shared:
                at_it.enter_context(leased(self.shared.bucket, key))
                is_new = not refresh and self.shared.manifest(key) != rotten
                if is_new and (found := self.use(key)):
                    return found  # by another machine, while this one waited
            with explain_os_errors(self.root / key):
                self._sweep(key)
                return self._write(key, fill, rotten)

    def share_folder(self, folder: Path) -> None:
        """Where the store is shared, put a folder of this machine's copy where all can see it."""
        if self.shared:
            self.shared.put_folder(folder, folder.relative_to(self.root).as_posix())

    def locked(self, key: str) -> AbstractContextManager[None]:
        """Hold this machine's lock of `key`; where another process holds it, say so and wait."""
        return locked(lock_file(self.root, key), key)

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[Callable[[], None]]:
        """Hold `key` against all other processes, of all machines that share the store; say so and wait.

        Yields:
            What to call before each write: it raises LeaseLostError where another machine has taken over.
        """
        with self.locked(key), contextlib.ExitStack() as at_it:
            lease = at_it.enter_context(leased(self.shared.bucket, key)) if self.shared else None
            yield lease.check if lease else (lambda: None)

    @contextlib.contextmanager
    def held_if_free(self, key: str) -> Iterator[bool]:
        """Hold `key` and give True, or give False at once where another process holds it."""
        with locked_if_free(lock_file(self.root, key)) as free, contextlib.ExitStack() as at_it:
            if free and self.shared:
                free = at_it.enter_context(leased(self.shared.bucket, key, wait=False)) is not None
            yield free

    def _write(self, key: str, fill: Callable[[Path], dict[str, Any]], rotten: bytes | None) -> Artifact:
        with written_whole(self.root / key) as draft:
            meta = fill(draft)
            artifact = Artifact(key=key, files=record_files(draft), meta=meta)
            manifest = seal(artifact)
            (draft / MANIFEST).write_bytes(manifest)
            if self.shared:
                standing = self.shared.publish(key, manifest, draft, hashes(artifact), rotten)
                if standing != manifest:
                    logger.info("%s: another machine was first; taking what it made", key)
                    shutil.rmtree(draft)
                    draft.mkdir()
                    artifact = self._fetch(self.shared, key, standing, draft)
        self._sweep(key)
        return artifact

    def _sweep(self, key: str) -> None:
        """Remove drafts of `key` that a killed or failed maker left; call it only under the key's lock."""
        final = self.root / key
        for left, name in unfinished_folders(final.parent):
            if name == final.name:
                shutil.rmtree(left)


def open_store() -> Store:
    """Return the store that this process was told of."""
    return Store(store_root(), shared_store())


def mark_used(artifact: Path) -> None:
    """Note on an artifact's manifest that it was used just now."""
    os.utime(artifact / MANIFEST)


def last_used(artifact: Path) -> float:
    """Return when an artifact was made or last used, in seconds since 1970; 0 for what is no artifact."""
    manifest = artifact / MANIFEST
    return manifest.stat().st_mtime if manifest.exists() else 0.0
