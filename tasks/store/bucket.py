"""Bucket: objects in an S3 store, with conditional writes for those that several machines may write."""

import contextlib
import functools
import importlib.util
import os
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import StoreError
from tasks.core.files import explain_os_errors

# s3fs is an extra and takes half a second to import; a local store needs neither.
if TYPE_CHECKING:
    import s3fs

SCHEME = "s3://"
# Errors of a write whose condition does not hold, or that met another one of the same object: its caller looks again.
CONDITION_FAILED = ("PreconditionFailed", "412", "NoSuchKey", "404", "ConditionalRequestConflict")
KEPT = "finished steps and epochs are kept, run again to go on"


@functools.cache
def connect(endpoint: str | None, seconds: float) -> "s3fs.S3FileSystem":
    """Return the object store at `endpoint`, or Amazon's; a request is repeated after `seconds` without a response."""
    import s3fs

    patience = {"connect_timeout": min(seconds, 10), "read_timeout": seconds}
    retries = {"mode": "standard", "max_attempts": 3}
    options = {"config_kwargs": patience | {"retries": retries}, "use_listings_cache": False}
    return s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True, **options)


class Bucket:
    """The objects below one address, by their names relative to it.

    An object is written atomically. Its tag (S3's ETag) changes with its content, so a write can require the tag that
    was read before. AWS_ENDPOINT_URL names a store other than Amazon's.
    """

    def __init__(self, address: str, seconds: float = 60.0) -> None:
        """Name the objects below `s3://bucket/prefix`, without a request; `seconds` as in `connect`."""
        self.address, self.seconds = address.rstrip("/"), seconds
        self.bucket, _, prefix = self.address.removeprefix(SCHEME).partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        if not self.address.startswith(SCHEME) or not self.bucket:
            raise StoreError(f"--store {address}: expected {SCHEME}BUCKET/PREFIX, or a folder")
        if importlib.util.find_spec("s3fs") is None:
            raise StoreError(f"--store {address} needs s3fs: pip install '.[s3]'")

    @property
    def files(self) -> "s3fs.S3FileSystem":
        """The object store's files; the first use connects."""
        return connect(os.environ.get("AWS_ENDPOINT_URL"), self.seconds)

    def where(self, name: str) -> str:
        """Return the address of an object."""
        return f"{self.address}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or None if there is none."""
        with self._naming(name), contextlib.suppress(FileNotFoundError):
            return bytes(self.files.cat_file(self.where(name)))
        return None

    def tag(self, name: str) -> str | None:
        """Return an object's tag, or None if there is none."""
        head = self._head(name)
        return None if head is None else str(head["ETag"])

    def tag_and_age(self, name: str) -> tuple[str, float] | None:
        """Return an object's tag and the seconds since it was written, at least, by the object store's clock; or None.

        The store names whole seconds.
        """
        head = self._head(name)
        if head is None:
            return None
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        return str(head["ETag"]), (now - head["LastModified"]).total_seconds() - 1

    def has(self, name: str, size: int) -> bool:
        """Return whether there is an object of `size` bytes."""
        head = self._head(name)
        return head is not None and int(head["ContentLength"]) == size

    def create(self, name: str, content: bytes) -> str | None:
        """Write a new object and return its tag, or None if there is one already."""
        return self._write(name, content, IfNoneMatch="*")

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Replace the object that has `tag` and return the new tag, or None if it has another tag or is gone."""
        return self._write(name, content, IfMatch=tag)

    def upload(self, path: Path, name: str) -> None:
        """Write an object from a file, replacing any."""
        with self._naming(name), explain_os_errors(path):
            self.files.put_file(str(path), self.where(name))

    def download(self, name: str, path: Path) -> bool:
        """Write an object to the file `path`, and return whether there was one."""
        with self._naming(name), contextlib.suppress(FileNotFoundError), explain_os_errors(path):
            self.files.get_file(self.where(name), str(path))
            return True
        return False

    def names(self, folder: str) -> dict[str, datetime]:
        """Return the names of all objects below `folder`, and when each was written by the object store's clock."""
        start = len(f"{self.bucket}/{self.prefix}")
        with self._naming(folder), contextlib.suppress(FileNotFoundError):
            found = self.files.find(self.where(folder), detail=True).values()
            # If nothing is found, s3fs asks again for the folder itself, which may no longer be empty.
            return {one["name"][start:]: one["LastModified"] for one in found if one["type"] == "file"}
        return {}

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self._naming(name):
            self.files.call_s3("delete_object", Bucket=self.bucket, Key=self.prefix + name)

    def check(self) -> None:
        """Raise StoreError if the bucket does not exist or cannot be read."""
        with self._naming(""):
            self.files.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def _head(self, name: str) -> dict[str, Any] | None:
        with self._naming(name), contextlib.suppress(FileNotFoundError):
            head: dict[str, Any] = self.files.call_s3("head_object", Bucket=self.bucket, Key=self.prefix + name)
            return head
        return None

    def _write(self, name: str, content: bytes, **condition: str) -> str | None:
        wanted = {"Bucket": self.bucket, "Key": self.prefix + name, "Body": content, **condition}
        with self._naming(name):
            try:
                return str(self.files.call_s3("put_object", **wanted)["ETag"])
            except OSError as error:
                if code_of(error) not in CONDITION_FAILED:
                    raise
            # If a response was lost, the write was repeated and found its own first attempt.
            return self.tag(name) if self.read(name) == content else None

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Turn an object store's errors into ones that name the object and a remedy, and no credentials."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except (PermissionError, NoCredentialsError) as error:
            raise StoreError(
                f"{self.where(name)}: access is refused ({code_of(error)}); check AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and the rights on the bucket; {KEPT}"
            ) from error
        except FileNotFoundError as error:
            raise StoreError(f"{SCHEME}{self.bucket}: no such bucket; make it, or name another with --store") from error
        except (OSError, BotoCoreError, ClientError) as error:
            raise StoreError(
                f"{self.where(name)}: the object store does not answer ({code_of(error)}); {KEPT}"
            ) from error


def code_of(error: BaseException) -> str:
    """Return the object store's code for an error, or the type of an error that did not come from it."""
    answer = getattr(error.__cause__, "response", None) or getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code") or type(error.__cause__ or error).__name__)
