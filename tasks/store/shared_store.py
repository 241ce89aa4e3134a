"""The shared store, which several machines share through a bucket, each with its own copy; and `open_store`."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.core.environment import store_address, store_root
from tasks.core.files import explain_os_errors, hash_file, list_files, written_whole
from tasks.store.artifact import Artifact, DamagedError, hashes, read_sealed, seal, unseal
from tasks.store.bucket import Bucket
from tasks.store.leases import leased
from tasks.store.store import MANIFEST, Fill, Store, fill_draft, logger

OBJECTS = "objects"  # the bucket's folder of files, each named by its sha256


class SharedStore(Store):
    """Files by their hash, and the manifests that make artifacts of them; `root` is this machine's copy.

    A file is stored as objects/<sha256>, so writing it twice writes the same bytes. A manifest is written only if none
    is there: the second of two machines that made the same artifact notices, and takes the first's. The bucket's
    manifest decides: a copy that differs is fetched again.
    """

    def __init__(self, root: Path, bucket: Bucket) -> None:
        super().__init__(root)
        self.bucket = bucket

    def path(self, artifact: Artifact, name: str = "") -> Path:
        """Return what `Store.path` returns; fetch what another machine made, or raise DamagedError if that fails."""
        if super().peek(artifact.key) != artifact:
            with self.locked(artifact.key):
                if self.find(artifact.key) != artifact:
                    raise DamagedError(f"{artifact.key}: has changed since this run took it; run again")
        return super().path(artifact, name)

    def peek(self, key: str) -> Artifact | None:
        """Return the bucket's manifest of the artifact under `key`, or None if there is none; nothing is fetched."""
        with contextlib.suppress(DamagedError):  # as if there were none: a run rebuilds it
            return read_sealed(self.manifest(key) or b"", Artifact, key)
        return None

    def find(self, key: str) -> Artifact | None:
        """Return what `Store.find` returns, fetched if the copy differs from the bucket's."""
        manifest = self.manifest(key)
        if manifest is None:
            return None
        copy = self.root / key
        if (copy / MANIFEST).is_file() and (copy / MANIFEST).read_bytes() == manifest:
            try:
                return super().find(key)
            except DamagedError as damage:
                logger.warning("%s; fetching it again", damage)
        with explain_os_errors(copy), written_whole(copy) as draft:
            return self._fetch(key, manifest, draft)

    def manifest(self, key: str) -> bytes | None:
        """Return the bucket's manifest of the artifact under `key`, or None if there is none."""
        return self.bucket.read(f"{key}/{MANIFEST}")

    @contextlib.contextmanager
    def held(self, key: str, *, wait: bool = True) -> Iterator[Callable[[], None] | None]:
        """Hold `key` against all processes of all machines, as `Store.held` does."""
        with super().held(key, wait=wait) as is_held, contextlib.ExitStack() as stack:
            lease = stack.enter_context(leased(self.bucket, key, self.root, wait=wait)) if is_held else None
            yield lease.check if lease else None

    def share_folder(self, folder: Path) -> None:
        """Upload a folder of the copy under the same name."""
        for path in list_files(folder):
            self.bucket.upload(path, path.relative_to(self.root).as_posix())

    def publish(self, key: str, folder: Path, files: Mapping[str, str], replaced: bytes | None) -> bytes:
        """Upload the artifact in `folder` and return the manifest that the bucket has then.

        That is another machine's if it was first. `files` has their sha256 by name; if this manifest replaces one,
        `replaced`, its objects are not trusted and written again.
        """
        for name, sha256 in files.items():
            path, place = folder / name, f"{OBJECTS}/{sha256}"
            if replaced is not None or not self.bucket.has(place, path.stat().st_size):
                self.bucket.upload(path, place)
        name, manifest = f"{key}/{MANIFEST}", (folder / MANIFEST).read_bytes()
        while not self.bucket.create(name, manifest):
            tag, current = self.bucket.tag(name), self.manifest(key)
            if current is not None and current != replaced:
                return current
            if current and tag and self.bucket.replace(name, manifest, tag):
                break
        return manifest

    def _make(self, key: str, fill: Fill, made_of: Mapping[str, Any], *, replace: bool) -> tuple[Artifact, bool]:
        replaced = self.manifest(key) if replace else None
        with leased(self.bucket, key, self.root):
            # Another machine may have made it while this one waited for the lease.
            if self.manifest(key) != replaced and (found := self.use(key)):
                return found, True
            with self._draft(key) as draft:
                artifact = fill_draft(draft, key, fill, made_of)
                current = self.publish(key, draft, hashes(artifact), replaced)
                if current != seal(artifact):
                    logger.info("%s: another machine was first; taking its artifact", key)
                    shutil.rmtree(draft)
                    draft.mkdir()
                    artifact = self._fetch(key, current, draft)
            return artifact, False

    def _fetch(self, key: str, manifest: bytes, folder: Path) -> Artifact:
        """Write the artifact of `manifest` into an empty folder; DamagedError names an object that is not as it was."""
        (folder / MANIFEST).write_bytes(manifest)
        artifact = unseal(folder / MANIFEST, Artifact)
        if artifact.key != key:
            raise DamagedError(f"{self.bucket.where(key)}: belongs to {artifact.key}")
        for name, sha256 in hashes(artifact).items():
            path, place = folder / name, f"{OBJECTS}/{sha256}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not self.bucket.download(place, path):
                raise DamagedError(f"{self.bucket.where(place)}: missing, which is {name}")
            if hash_file(path) != sha256:
                raise DamagedError(f"{self.bucket.where(place)}: altered, which is {name}")
        return artifact


def open_store() -> Store:
    """Return the store that `--store` or ARTIFACTS_STORE names."""
    address = store_address()
    return SharedStore(store_root(), Bucket(address)) if address else Store(store_root())
