"""The store's own database: MLflow's SQLite file, written whole, its addresses true to where the store is now."""

import logging
import re
import sqlite3
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
# The columns in which MLflow keeps addresses of files.
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
DATABASE_REMEDY = (
    "bring back a copy of it, or move it away to start over: models that it named are then no longer registered"
)


def own_database() -> Path:
    """Return the path of the store's own database."""
    return store_root() / MLFLOW / "mlflow.db"


def own_artifacts() -> str:
    """Return the address of the folder in which the store's own experiments keep their files."""
    return store_root().resolve().as_uri() + ARTIFACTS


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
    """If the store was moved or copied, make the addresses in its database point to where it is now, and log that.

    MLflow keeps absolute addresses and has no setting for their start: it would write to and read from the old place.
    """
    here = own_artifacts()
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        locations = [location or "" for (location,) in database.execute("SELECT artifact_location FROM experiments")]
        there = {match["store"] + ARTIFACTS for location in locations if (match := LOCATION.fullmatch(location))}
        for old in sorted(there - {here}):
            for table, column in ADDRESSES:
                database.execute(
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                    f"WHERE substr({column} || '/', 1, length(:old) + 1) = :old || '/'",
                    {"old": old, "new": here},
                )
            logger.warning("The store was moved: addresses in MLflow's database now start with %s, not %s", here, old)
