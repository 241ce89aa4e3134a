"""The store's own database: MLflow's SQLite file, written whole, its addresses true to where the store is now."""

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.core.environment import store_root
from tasks.core.files import explain_os_errors
from tasks.core.layout import MLFLOW
from tasks.core.paths import sqlite_address
from tasks.store.store import Store

logger = logging.getLogger("prefect.registry")
# Where MLflow keeps an experiment's files, and the address of the store in front of it.
ARTIFACTS = "/mlflow/artifacts"
LOCATION = re.compile(rf"(?P<store>file://.*){ARTIFACTS}(/0)?(?=/|$)")  # the path of the store may contain it too
DATABASE_REMEDY = (
    "bring back a copy of it, or move it away to start over: models that it named are then no longer registered"
)


def own_database() -> Path:
    """Return the path of the store's own database."""
    return store_root() / MLFLOW / "mlflow.db"


def own_artifacts() -> str:
    """Return the address of the folder in which the store's own experiments keep their files."""
    return store_root().as_uri() + ARTIFACTS


def folder_of(address: str) -> Path:
    """Return the folder that a file:// address names."""
    return Path(url2pathname(urlsplit(address).path))


def open_database() -> None:
    """Create the store's database if there is none, whole or not at all, and fit its addresses to the store's place.

    One process at a time does so. Drafts that a killed process left are removed.

    Raises:
        StoreError: the folder cannot be written.
        sqlite3.DatabaseError: the file is damaged.
    """
    path = own_database()
    with Store(store_root()).locked("mlflow/database"), explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        for left in path.parent.glob(f"{draft.name}*"):  # SQLite's journal has a longer name
            left.unlink()
        if not path.exists():
            create_database(draft)
            draft.replace(path)
        fit_addresses(path)


def create_database(path: Path) -> None:
    """Have MLflow create its database; runs without an experiment go to the store, too."""
    from mlflow.tracking import MlflowClient

    address = sqlite_address(path)
    MlflowClient(address, address).search_experiments(max_results=1)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{own_artifacts()}/0",))


def fit_addresses(path: Path) -> None:
    """If the store was moved or copied, make all addresses in its database point to where it is now, and log that.

    MLflow keeps absolute addresses and has no setting for their start: it would write to and read from the old place.
    """
    here = store_root().as_uri()
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
        moved = [old for old in recorded_stores(database) if old != here and not is_same_folder(old, store_root())]
        if not moved:
            return
        database.execute("BEGIN IMMEDIATE")
        fitted = sum(replace_start(database, old + ARTIFACTS, here + ARTIFACTS) for old in moved)
        database.execute("COMMIT")
    logger.warning(
        "The store was at %s, and is now at %s: %d addresses in MLflow's database were changed to fit",
        " and ".join(moved), here, fitted,
    )  # fmt: skip


def recorded_stores(database: sqlite3.Connection) -> list[str]:
    """Return the addresses of the stores whose experiments are in the database."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'experiments'").fetchone():
        return []
    locations = [location for (location,) in database.execute("SELECT artifact_location FROM experiments")]
    return sorted({match["store"] for location in locations if (match := LOCATION.fullmatch(location or ""))})


def is_same_folder(address: str, folder: Path) -> bool:
    """Return whether a file:// address leads to `folder`, as through a link."""
    other = folder_of(address)
    return other.exists() and other.samefile(folder)


def replace_start(database: sqlite3.Connection, old: str, new: str) -> int:
    """In every text that is the address `old`, or one below it, replace `old` by `new`; return how many changed."""
    return sum(
        database.execute(
            f'UPDATE "{table}" SET "{column}" = :new || substr("{column}", length(:old) + 1) '
            f'WHERE "{column}" = :old OR substr("{column}", 1, length(:old) + 1) = :old || \'/\'',
            {"old": old, "new": new},
        ).rowcount
        for table, column in list(text_columns(database))
    )


def text_columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Yield table and name of every column that may hold text."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _id, column, kind, *_rest in database.execute(f'PRAGMA table_info("{table}")'):
            if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                yield table, column
