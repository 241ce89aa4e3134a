"""Shared: the artifacts that several machines have in common, in a bucket, of which each has its own copy."""

import functools
from collections.abc import Mapping
from pathlib import Path

from tasks.core.environment import store_address
from tasks.core.files import hash_file, list_files
from tasks.store.artifact import DamagedError
from tasks.store.bucket import Bucket


class SharedStore:
    """Files by their hash, and the manifests that make artifacts of them.

    A file lies under objects/<sha256>: who writes it twice writes the same. A manifest is written once, on the
    condition that none is there: of two that have made the same artifact the second finds out, and takes the first's.
    """

    def __init__(self, bucket: Bucket) -> None:
        """Keep artifacts in `bucket`."""
        self.bucket = bucket

    def manifest(self, key: str) -> bytes | None:
        """Return the manifest of the artifact under `key`, or None where there is none."""
        return self.bucket.read(manifest_name(key))

    def fetch(self, files: Mapping[str, str], folder: Path) -> None:
        """Write an artifact's files, given by their sha256, to `folder`.

        Raises:
            RotError: naming the first that is missing or altered.
        """
        for name, sha256 in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not self.bucket.download(object_name(sha256), path):
                raise DamagedError(f"{self.bucket.where(object_name(sha256))}: missing, which is {name}")
            if hash_file(path) != sha256:
                raise DamagedError(f"{self.bucket.where(object_name(sha256))}: altered, which is {name}")

    def publish(self, key: str, manifest: bytes, folder: Path, files: Mapping[str, str], rotten: bytes | None) -> bytes:
        """Make an artifact of the files in `folder`.

        Args:
            key: of the artifact.
            manifest: its record.
            folder: holds its files.
            files: their sha256 by name.
            rotten: the manifest in whose place this one goes, if any; its files are not trusted.

        Returns:
            The manifest that stands: this one, or another worker's that was there first.
        """
        for name, sha256 in files.items():
            path, place = folder / name, object_name(sha256)
            if rotten is not None or not self.bucket.has(place, path.stat().st_size):
                self.bucket.upload(path, place)
        name = manifest_name(key)
        while not self.bucket.create(name, manifest):
            tag, standing = self.bucket.tag(name), self.manifest(key)
            if standing is None or tag is None:
                continue  # it was removed meanwhile
            if standing != rotten:
                return standing
            if self.bucket.replace(name, manifest, tag):
                break
        return manifest

    def put_folder(self, folder: Path, name: str) -> None:
        """Write the files of a folder, as they are, below `name`."""
        for path in list_files(folder):
            self.bucket.upload(path, f"{name}/{path.relative_to(folder).as_posix()}")


def manifest_name(key: str) -> str:
    """Return where the manifest of an artifact lies in the bucket."""
    return f"{key}/artifact.json"


def object_name(sha256: str) -> str:
    """Return where a file lies in the bucket."""
    return f"objects/{sha256}"


@functools.cache
def shared_at(address: str) -> SharedStore:
    """Return the shared store at an address, the same for all of this process."""
    return SharedStore(Bucket(address))


def shared_store() -> SharedStore | None:
    """Return the store that this process shares with other machines, or None where it has its own alone."""
    address = store_address()
    return shared_at(address) if address else None
