"""The store's own database: MLflow's SQLite file, made whole, its addresses true to where the store is now."""

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
from tasks.core.urls import sqlite_address
from tasks.store.store import Store

# MLflow and SQLAlchemy are imported inside the functions that need them: a cached run never pays for them.

# Prefect shows what its own loggers' children say.
logger = logging.getLogger("prefect.registry")
# Where we have MLflow keep an experiment's files, and what comes before it: the address of the store.
ARTIFACTS = "/mlflow/artifacts"
LOCATION = re.compile(rf"(?P<store>file://.*?){ARTIFACTS}(/0)?")


def own_database() -> Path:
    """Return where the store's own database is."""
    return store_root() / MLFLOW / "mlflow.db"


def own_artifacts() -> str:
    """Return the address of the folder in which the store's own experiments keep their files."""
    return store_root().as_uri() + ARTIFACTS


def open_database() -> None:
    """Make the store's database where there is none, whole or not at all, and fit its addresses to the store's place.

    One process at a time does so. What a process that was killed left of a draft is removed.

    Raises:
        StoreError: the folder cannot be written.
        sqlite3.DatabaseError: the file is no sound database.
    """
    path = own_database()
    with Store(store_root()).locked("mlflow/database"), explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        for left in path.parent.glob(f"{draft.name}*"):  # SQLite's journal has a longer name
            left.unlink()
        if not path.exists():
            make_database(draft)
            draft.replace(path)
        fit_addresses(path)


def make_database(path: Path) -> None:
    """Have MLflow make its database; what is logged without naming an experiment goes to the store, too."""
    from mlflow.tracking import MlflowClient

    address = sqlite_address(path)
    MlflowClient(address, address).search_experiments(max_results=1)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{own_artifacts()}/0",))


def fit_addresses(path: Path) -> None:
    """Where the store was moved or copied, make all addresses in its database point to where it is now, and say so.

    MLflow keeps absolute addresses: what is logged next would go to the old place, and models would be sought there.
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
        "The store was at %s, and is now at %s: %d addresses in MLflow's database are made to fit",
        " and ".join(moved), here, fitted,
    )  # fmt: skip


def recorded_stores(database: sqlite3.Connection) -> list[str]:
    """Return the addresses of the stores whose experiments are in the database."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'experiments'").fetchone():
        return []
    locations = [location for (location,) in database.execute("SELECT artifact_location FROM experiments")]
    return sorted({match["store"] for location in locations if (match := LOCATION.fullmatch(location or ""))})


def is_same_folder(address: str, folder: Path) -> bool:
    """Tell whether a file:// address is another way to `folder`, as a link is."""
    other = Path(url2pathname(urlsplit(address).path))
    return other.exists() and other.samefile(folder)


def replace_start(database: sqlite3.Connection, old: str, new: str) -> int:
    """Make every text in the database that is the address `old`, or one below it, begin with `new`; return how many."""
    changed = 0
    for table, column in list(columns(database)):
        changed += database.execute(
            f'UPDATE "{table}" SET "{column}" = :new || substr("{column}", length(:old) + 1) '
            f'WHERE "{column}" = :old OR substr("{column}", 1, length(:old) + 1) = :old || \'/\'',
            {"old": old, "new": new},
        ).rowcount
    return changed


def columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Yield table and name of every column that may hold text."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _id, column, kind, *_rest in database.execute(f'PRAGMA table_info("{table}")'):
            if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                yield table, column
