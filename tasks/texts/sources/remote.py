"""Remote: your texts in an object store, on a web server or in a database are copied into the store and read there."""

import contextlib
import logging
import shutil
import time
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import OBJECT_STORES, SourceSettings, is_address
from tasks.core.errors import InputError, PipelineError, SourceError, SourceUnreachable
from tasks.core.files import digest, explain_os_errors
from tasks.core.user_paths import check_relative, user_path
from tasks.store.bucket import code_of
from tasks.store.shared_store import open_store
from tasks.texts.sources.fetching import fetch, is_remote, require_space
from tasks.texts.tables.table_files import is_table, visible
from tasks.texts.tables.text_decoding import ROWS_PER_BATCH
from tasks.texts.tables.writing import writable_form

RETRY_SECONDS = (1, 5)  # between tries of a web server; the object stores' clients try again themselves
COPIES = "fetch"  # the folder of the copies in the store
READ_ONLY = {"sqlite": "PRAGMA query_only = ON", "mysql": "SET SESSION TRANSACTION READ ONLY"}
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
        if settings.query:
            read_query(settings.dataset, settings.query, folder / name)
        else:
            copy_files(settings.dataset, folder / name)
        return {"dataset": settings.dataset, "query": settings.query}

    copy, is_kept = store.get_or_make(key, fill, refresh=refresh)
    age = f"read again: {'un' * bool(before and before.sha256 == copy.sha256)}changed" if before else "read"
    age = "the copy in the store is used; --data.refresh reads it again" if is_kept else age
    return store.path(copy) / name, f"{settings.dataset}: {age}"


def key_and_name(settings: SourceSettings) -> tuple[str, str]:
    """Return the key of the copy of a dataset, and its name in the artifact, whose stem the model's name has."""
    name = address_name(settings.dataset)
    name = f"{PurePosixPath(name).stem}.parquet" if settings.query else name
    return f"{COPIES}/{digest([settings.dataset, settings.query])}", f"copy/{name}"


def address_name(address: str) -> str:
    """Return the last part of an address's path."""
    return PurePosixPath(urlsplit(address).path).name or "texts"


def copy_files(address: str, target: Path, scored: Collection[str] | None = None) -> None:
    """Copy the file at an address, or the tables and text files of a folder in an object store.

    With `scored`, only those directly in the folder are copied, without these.

    Raises:
        SourceUnreachable: another try may help; also if a file changes while it is copied.
        SourceError: there is none.
    """
    if is_remote(address):
        return fetch_patiently(address, target)
    with explained(address):
        files, place = open_place(address)
        found: dict[Path, dict[str, Any]] = {}
        if not files.isdir(place):
            found[target] = files.info(place)
        else:
            target.mkdir()
            for info in files.find(place, detail=True).values() if scored is None else list_folder(files, place):
                name = info["name"].removeprefix(f"{place}/")
                if info["type"] == "directory":
                    (target / check_relative(name)).mkdir()  # for the warning that it is skipped
                elif is_table(Path(name)):
                    found[target / check_relative(name)] = info
            if not found and not any(target.iterdir()):
                raise SourceError(f"{address}: holds no tables and no text files; check the address")
        left = {path: info for path, info in found.items() if path == target or path.name not in (scored or ())}
        require_space(address, sum(info["size"] for info in left.values()), target.parent)
        for path, info in left.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with explain_os_errors(path):
                files.get_file(info["name"], str(path))
            after = files.info(info["name"])
            if path.stat().st_size != info["size"] or any(after.get(key) != info.get(key) for key in ("ETag", "mtime")):
                raise SourceUnreachable(f"{address}: {info['name']} has changed while it was copied; run again")


def list_folder(files: Any, place: str) -> list[dict[str, Any]]:
    """Return facts about each object and folder directly in a folder of an object store, which need not exist."""
    with contextlib.suppress(FileNotFoundError):
        # Some object stores name the folder, too.
        return [
            info for info in files.ls(place, detail=True) if PurePosixPath(info["name"]).parent == PurePosixPath(place)
        ]
    return []


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


def read_query(address: str, query: str, target: Path) -> None:
    """Write the rows of a query as Parquet, all columns as text, in a read-only transaction, 8,192 at a time.

    Raises:
        InputError: the database, its driver or the query cannot be used.
    """
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(address, poolclass=NullPool)
        if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
            raise InputError(f"{address}: no such file; check the address")
        with engine.connect() as connection:
            connection.exec_driver_sql(READ_ONLY.get(engine.dialect.name, "SET TRANSACTION READ ONLY"))
            # No part of the query is a parameter.
            result = connection.execution_options(yield_per=ROWS_PER_BATCH).execute(text(query.replace(":", r"\:")))
            if not result.returns_rows:
                raise InputError(f"--data.query {query}: returns no rows; expected a select")
            schema = pa.schema([(name, pa.string()) for name in result.keys()])  # noqa: SIM118
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for rows in result.partitions(ROWS_PER_BATCH):
                    columns = [[as_text(value, query) for value in column] for column in zip(*rows, strict=True)]
                    arrays = [pa.array(column, pa.string()) for column in columns]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise InputError(
            f"{address}: {reason}; check the query, the server, the driver (pip install '.[postgres]'), the user "
            "(PGUSER) and the password (PGPASSWORD or ~/.pgpass)"
        ) from error


def as_text(value: Any, query: str) -> str | None:
    """Return a database's value as text; refuse bytes."""
    if isinstance(value, bytes | memoryview):
        raise InputError(f"--data.query {query}: returns bytes; convert them to text in the query")
    return None if value is None else str(value)


@contextlib.contextmanager
def scratch_folder(source: str, output: str) -> Iterator[Path]:
    """Yield a folder in the store for the copies of an input and an output, under their lock.

    It stays if the process is killed or the network fails, with the scores so far. Housekeeping prunes it.
    """
    store, key = open_store(), f"{COPIES}/{digest([source, output])}"
    folder = store.root / COPIES / f".{Path(key).name}.unscored.draft"
    with store.locked(key):
        shutil.rmtree(folder / "input", ignore_errors=True)
        for path in folder.glob("output/*/[!.]*"):
            if path.is_file() and not path.stat().st_size:
                path.unlink()  # stands for a file that the object store had then
        (folder / "input").mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        except InputError:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


@contextlib.contextmanager
def local_places(source: str, output: str) -> Iterator[tuple[str, str]]:
    """Yield local paths for an input and an output, either of which may be an address.

    The input is copied before; the output's files are uploaded after. Those of a folder that the object store already
    has are empty here, and their inputs are not copied. If the process is killed, or the upload fails, the next one
    with the same places continues.
    """
    if not (is_address(source) or is_address(output)):
        yield str(user_path(source)), output
        return
    if is_address(output) and urlsplit(output).scheme not in OBJECT_STORES:
        raise InputError(f"--output {output}: scores cannot be written there; expected s3://, gs:// or a path")
    if is_address(output) and source.rstrip("/") == output.rstrip("/"):
        raise InputError(f"--output {output}: has the texts, which scores must not replace; name another place")
    is_one = writable_form(Path(output)) is not None and not user_path(output).is_dir()
    with scratch_folder(source, output) as scratch:
        read, written = user_path(source), scratch / "output" / address_name(output)
        existing = [] if is_one else list_output(output)
        if is_address(source):
            read = scratch / "input" / address_name(source)
            if is_one and not is_remote(source):
                refuse_tables(source, output)
            scored = [name.removesuffix(".parquet") for name in existing if name.endswith(".parquet")]
            with explain_os_errors(read):
                copy_files(source, read, None if is_one else scored)
        if not is_address(output):
            yield str(read), output
            return
        for name in existing if read.is_dir() else ():
            written.mkdir(parents=True, exist_ok=True)
            (written / name).touch()
        try:
            yield str(read), str(written)
        finally:  # if some files of a folder are refused, the others have scores
            with explained(output):
                files, place = open_place(output)
                for path in visible(written) if written.is_dir() else [written] * written.exists():
                    if path.stat().st_size:
                        files.put_file(str(path), place if path == written else f"{place}/{path.name}")


def list_output(output: str) -> list[str]:
    """Return the names of the files in an output's folder, which need not exist."""
    if not is_address(output):
        return [path.name for path in visible(user_path(output))] if user_path(output).is_dir() else []
    with explained(output):
        found = list_folder(*open_place(output))
    return [PurePosixPath(info["name"]).name for info in found if info["type"] == "file"]


def refuse_tables(source: str, output: str) -> None:
    """Refuse a folder of tables in an object store as the input of one table; one with folders of texts may be."""
    with explained(source):
        files, place = open_place(source)
        texts = [name for name in files.find(place) if name.lower().endswith(".txt")]
        if files.isdir(place) and len({PurePosixPath(name).parent for name in texts} - {PurePosixPath(place)}) < 2:
            raise InputError(f"--output {output}: the input is a folder of tables; name a folder for their scores")
