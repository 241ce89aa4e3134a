"""Bucket: files in an object store that speaks S3, written only on a condition where two may write the same."""

import contextlib
import functools
import importlib.util
import os
import random
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import StoreError
from tasks.core.files import explain_os_errors

# s3fs is an extra, and takes half a second: who has the store in a folder pays for neither.
if TYPE_CHECKING:
    import s3fs

SCHEME = "s3://"
# A condition of a write that does not hold; and that no object has the tag that it names.
CONDITION_FAILED = ("PreconditionFailed", "412", "NoSuchKey", "404")
# Of two writes at the same moment S3 may refuse one for now, whatever its condition.
COLLISION = "ConditionalRequestConflict"
COLLISIONS = 8
KEPT = "finished steps and epochs are kept, run again to go on"


@functools.cache
def connect(endpoint: str | None, seconds: float) -> "s3fs.S3FileSystem":
    """Return the object store that the environment names: `endpoint`, or Amazon's; one for all of this process.

    Args:
        endpoint: its address.
        seconds: that an answer may take before the request is sent again, a dozen times.
    """
    import s3fs

    patience = {
        "connect_timeout": min(seconds, 10),
        "read_timeout": seconds,
        "retries": {"mode": "standard", "max_attempts": 3},
    }
    return s3fs.S3FileSystem(
        endpoint_url=endpoint, config_kwargs=patience, use_listings_cache=False, skip_instance_cache=True
    )


class Bucket:
    """The objects below one address, by their names relative to it.

    An object appears whole or not at all. Its tag (S3's ETag) changes with its content, so a write may be tied to
    the tag that was read before. Credentials come from the environment, a profile or the machine's role, as the AWS
    libraries find them, and are printed nowhere; AWS_ENDPOINT_URL names a store that is not Amazon's.
    """

    def __init__(self, address: str, seconds: float = 60.0) -> None:
        """Take `s3://bucket/prefix`; nothing is asked of it yet.

        Args:
            address: of the store.
            seconds: that an answer may take before the request is sent again.

        Raises:
            StoreError: s3fs is not installed, or this names no bucket.
        """
        self.address, self.seconds = address.rstrip("/"), seconds
        self.bucket, _, prefix = self.address.removeprefix(SCHEME).partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        if not self.address.startswith(SCHEME) or not self.bucket:
            raise StoreError(f"--store {address}: expected {SCHEME}BUCKET/PREFIX, or a folder")
        if importlib.util.find_spec("s3fs") is None:
            raise StoreError(f"--store {address} needs s3fs: pip install '.[s3]'")

    @property
    def files(self) -> "s3fs.S3FileSystem":
        """The object store's files; connects when it is first asked."""
        return connect(os.environ.get("AWS_ENDPOINT_URL"), self.seconds)

    def hasty(self, seconds: float) -> "Bucket":
        """Return the same, which sends a request again after `seconds`."""
        return Bucket(self.address, seconds)

    def where(self, name: str) -> str:
        """Return the address of an object."""
        return f"{self.address}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        with self._naming(name), contextlib.suppress(FileNotFoundError):
            return bytes(self.files.cat_file(self.where(name)))
        return None

    def tag(self, name: str) -> str | None:
        """Return an object's tag, or None where there is none."""
        head = self._head(name)
        return None if head is None else str(head["ETag"])

    def has(self, name: str, size: int) -> bool:
        """Tell whether there is an object of `size` bytes."""
        head = self._head(name)
        return head is not None and int(head["ContentLength"]) == size

    def create(self, name: str, content: bytes) -> str | None:
        """Write an object that is not there yet.

        Returns:
            Its tag; None where another stands, which then stays.
        """
        return self._write(name, content, IfNoneMatch="*")

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Write an object in the place of the one that has `tag`.

        Returns:
            Its tag; None where the object has another tag, or is gone, which then stays so.
        """
        return self._write(name, content, IfMatch=tag)

    def upload(self, path: Path, name: str) -> None:
        """Write the object from a file, whatever stood there."""
        with self._naming(name), local_trouble(path):
            self.files.put_file(str(path), self.where(name))

    def download(self, name: str, path: Path) -> bool:
        """Write an object to the file `path`, and tell whether there was one."""
        with self._naming(name), contextlib.suppress(FileNotFoundError), local_trouble(path):
            self.files.get_file(self.where(name), str(path))
            return True
        return False

    def names(self, folder: str) -> dict[str, datetime]:
        """Return the names of all objects below `folder`, and when each was written, by the object store's clock."""
        with self._naming(folder), contextlib.suppress(FileNotFoundError):
            found = self.files.find(self.where(folder), detail=True).values()
            start = len(f"{self.bucket}/{self.prefix}")
            # Where nothing is found, s3fs asks again for the folder itself, in which something may be by then.
            files = [listed for listed in found if listed["type"] == "file"]
            return {str(listed["name"])[start:]: listed["LastModified"] for listed in files}
        return {}

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self._naming(name):
            self.files.call_s3("delete_object", Bucket=self.bucket, Key=self.prefix + name)

    def check(self) -> None:
        """Ask whether the bucket is there and may be read.

        Raises:
            StoreError: naming what stands in the way.
        """
        with self._naming(""):
            self.files.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def _head(self, name: str) -> dict[str, Any] | None:
        with self._naming(name), contextlib.suppress(FileNotFoundError):
            head: dict[str, Any] = self.files.call_s3("head_object", Bucket=self.bucket, Key=self.prefix + name)
            return head
        return None

    def _write(self, name: str, content: bytes, **condition: str) -> str | None:
        place = {"Bucket": self.bucket, "Key": self.prefix + name}
        with self._naming(name):
            for attempt in range(COLLISIONS):
                try:
                    return str(self.files.call_s3("put_object", **place, Body=content, **condition)["ETag"])
                except OSError as error:
                    if code_of(error) == COLLISION and attempt < COLLISIONS - 1:
                        time.sleep(0.2 * random.random())
                        continue
                    if code_of(error) not in CONDITION_FAILED:
                        raise
                    break
            # Where an answer was lost, the write was sent again, and found its own first try in the way.
            return self.tag(name) if self.read(name) == content else None

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Turn an object store's refusals into errors that name the place and the remedy, and no credentials."""
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


@contextlib.contextmanager
def local_trouble(path: Path) -> Iterator[None]:
    """Name `path` where this machine's own disk stands in the way, and not the object store."""
    try:
        yield
    except OSError as error:
        if error.__cause__ is not None:
            raise
        with explain_os_errors(path):
            raise


def code_of(error: BaseException) -> str:
    """Return the object store's own word for an error, or the kind of an error that never reached it."""
    answer = getattr(error.__cause__, "response", None) or getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code") or type(error.__cause__ or error).__name__)
