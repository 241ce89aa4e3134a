"""Remote: your texts in an object store or on a web server are copied into the store and read there."""

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tasks.core.data_settings import SourceSettings, is_address
from tasks.core.errors import PipelineError, SourceError, SourceUnreachable
from tasks.core.files import digest, explain_os_errors
from tasks.core.user_paths import check_relative, user_path
from tasks.store.bucket import code_of
from tasks.store.shared_store import open_store
from tasks.texts.sources.fetching import fetch, is_remote, require_space
from tasks.texts.tables.table_files import is_table

RETRY_SECONDS = (1, 5)  # between tries of a web server; the object stores' clients try again themselves
# Prefect shows the records of its own loggers' children.
logger = logging.getLogger("prefect.copies")
CREDENTIALS = "AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; GOOGLE_APPLICATION_CREDENTIALS"


def dataset_path(settings: SourceSettings) -> Path:
    """Return the path of your texts: as given, or of their copy in the store, which is made if there is none."""
    return find_copy(settings) or copy_dataset(settings)[0]


def find_copy(settings: SourceSettings) -> Path | None:
    """Return the path of your texts: as given, or of their copy in the store, None if there is none."""
    if not is_address(settings.dataset):
        return user_path(settings.dataset)
    store, (key, name) = open_store(), key_and_name(settings)
    copy = store.peek(key)
    return store.path(copy) / name if copy else None


def copy_dataset(settings: SourceSettings, *, refresh: bool = False) -> tuple[Path, str]:
    """Return the path of the copy of your texts in the store, made if there is none or to `refresh` it, and its age."""
    store, (key, name) = open_store(), key_and_name(settings)
    before = store.peek(key)

    def fill(folder: Path) -> dict[str, Any]:
        (folder / name).parent.mkdir()
        copy_files(settings.dataset, folder / name)
        return {"dataset": settings.dataset}

    copy, is_kept = store.get_or_make(key, fill, refresh=refresh)
    age = f"read again: {'un' * bool(before and before.sha256 == copy.sha256)}changed" if before else "read"
    age = "the copy in the store is used; --data.refresh reads it again" if is_kept else age
    return store.path(copy) / name, f"{settings.dataset}: {age}"


def key_and_name(settings: SourceSettings) -> tuple[str, str]:
    """Return the key of the copy of a dataset, and its name in the artifact, whose stem the model's name has."""
    name = PurePosixPath(urlsplit(settings.dataset).path).name or "texts"
    return f"fetch/{digest(settings.dataset)}", f"copy/{name}"


def copy_files(address: str, target: Path) -> None:
    """Copy the file at an address, or the tables and text files of a folder in an object store.

    Raises:
        SourceUnreachable: another try may help; also if a file changes while it is copied.
        SourceError: there is none.
    """
    if is_remote(address):
        return fetch_patiently(address, target)
    with explained(address):
        files, place = open_place(address)
        found = list_texts(files, place)
        if not found:
            raise SourceError(f"{address}: holds no tables and no text files; check the address")
        require_space(address, sum(info["size"] for info in found.values()), target.parent)
        for name, info in found.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with explain_os_errors(path):
                files.get_file(info["name"], str(path))
        after = list_texts(files, place)
        for name, info in found.items():
            if after.get(name) != info or (target / name).stat().st_size != info["size"]:
                raise SourceUnreachable(f"{address}: {info['name']} has changed while it was copied; run again")


def list_texts(files: Any, place: str) -> dict[str, dict[str, Any]]:
    """Return facts about each table and text file below a folder of an object store, or about the file "" itself."""
    if not files.isdir(place):
        return {"": files.info(place)}
    found = {info["name"].removeprefix(f"{place}/"): info for info in files.find(place, detail=True).values()}
    return {check_relative(name): info for name, info in found.items() if is_table(Path(name))}


def fetch_patiently(address: str, target: Path) -> None:
    """Copy a file from a web server; try again if the server or the connection fails."""
    for seconds in RETRY_SECONDS:
        try:
            return fetch(address, target)
        except SourceUnreachable as failure:
            logger.warning("%s; trying again in %g s", failure, seconds)
            time.sleep(seconds)
    fetch(address, target)


def open_place(address: str) -> tuple[Any, str]:
    """Return the file system of an address, with the credentials of this machine, and the path in it."""
    import fsspec

    if address.startswith("gs://"):
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import GcsFileSystem

        files, place = ArrowFSWrapper(GcsFileSystem(retry_time_limit=timedelta(minutes=1))), address[len("gs://") :]
    else:
        files, place = fsspec.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    return files, place.rstrip("/")


@contextlib.contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn the errors of an object store's client into ones without credentials."""
    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError as error:
        raise SourceError(f"{address}: no such object, folder or bucket; check the address") from error
    except Exception as error:  # each client has its own
        raise SourceUnreachable(
            f"{address}: the object store refuses or does not answer ({code_of(error)}); check the network, the "
            f"credentials ({CREDENTIALS}) and, for s3://, pip install '.[s3]'"
        ) from error
