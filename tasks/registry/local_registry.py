"""The store's own registry: MLflow's SQLite file, created whole, fitted to where the store is, and read without MLflow.

Importing MLflow takes seconds, which every cached run and every scored text would pay.
"""

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.core.environment import store_root
from tasks.core.errors import RegistryError
from tasks.core.files import explain_os_errors
from tasks.core.layout import MLFLOW
from tasks.core.user_paths import sqlite_address
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
MODELS = """
SELECT name, (SELECT json_group_object(alias, CAST(version AS TEXT)) FROM registered_model_aliases WHERE name = m.name),
    (SELECT json_group_object(key, value) FROM registered_model_tags WHERE name = m.name)
FROM registered_models m WHERE ? IN ('', printf('name = ''%s''', name)) ORDER BY name"""
# For a model that was logged as MLflow 3 does, `source` is the model's name and the other column the address.
VERSIONS = """
SELECT v.name, CAST(v.version AS TEXT), COALESCE(v.storage_location, v.source),
    json_group_object(t.key, t.value) FILTER (WHERE t.key IS NOT NULL)
FROM model_versions v LEFT JOIN model_version_tags t ON t.name = v.name AND t.version = v.version
WHERE printf('name = ''%s''', v.name) = ? AND v.current_stage != 'Deleted_Internal'
GROUP BY v.version ORDER BY v.version"""
# No row while a run is being logged, or was killed while it was.
RUNS = """
SELECT e.experiment_id, r.run_uuid, m.artifact_location FROM experiments e
JOIN runs r ON r.experiment_id = e.experiment_id JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'content'
JOIN logged_models m ON m.source_run_id = r.run_uuid
WHERE e.name = ? AND t.value = ? AND r.status = 'FINISHED'
AND 'active' = e.lifecycle_stage AND 'active' = r.lifecycle_stage AND 'active' = m.lifecycle_stage
AND NOT EXISTS (SELECT 1 FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active')
ORDER BY r.start_time DESC"""


def unusable_database(place: Path | str, reason: object) -> RegistryError:
    """Return the error for a database that SQLite or SQLAlchemy refuses."""
    return RegistryError(
        f"MLflow at {place}: its database cannot be used ({reason}); bring back a copy of it, or move it away to start "
        "over: models that it named are then no longer registered"
    )


def own_database() -> Path:
    """Return the path of the store's own database."""
    return store_root() / MLFLOW / "mlflow.db"


def own_artifacts() -> str:
    """Return the address of the folder in which the store's own experiments keep their files."""
    return store_root().resolve().as_uri() + ARTIFACTS


def folder_of(address: str) -> Path:
    """Return the folder that a path or a file:// address names."""
    parts = urlsplit(address)
    return Path(url2pathname(parts.path)) if parts.scheme else Path(address)


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
            create_tables(draft)
            draft.replace(path)
        fit_addresses(path)


def create_tables(path: Path) -> None:
    """Have MLflow create its database, so that runs without an experiment keep their files in the store, too."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(sqlite_address(path), own_artifacts())  # type: ignore[no-untyped-call]


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


class OwnModel(NamedTuple):
    """A registered model: its name, its aliases with their versions, and its tags."""

    name: str
    aliases: dict[str, str]
    tags: dict[str, str]


class OwnVersion(NamedTuple):
    """A version of a registered model: its number, the address of its files, and its tags."""

    name: str
    version: str
    source: str
    tags: dict[str, str]


class OwnRegistry:
    """Read-only subset of MlflowClient, on SQLite; without a database it is empty.

    The one filter that it knows is `name = 'NAME'`.
    """

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self.database = database

    def rows(self, query: str, *values: str) -> list[Any]:
        """Return the rows that a query selects."""
        return self.database.execute(query, values).fetchall() if self.database else []

    def search_registered_models(self, filter_string: str = "", max_results: int = 1000) -> list[OwnModel]:
        """Return the registered models, by name."""
        rows = self.rows(MODELS, filter_string)
        return [OwnModel(name, json.loads(aliases), json.loads(tags)) for name, aliases, tags in rows[:max_results]]

    def get_registered_model(self, name: str) -> OwnModel:
        """Return a registered model; raise RegistryError, which names those that there are, if it is none of them."""
        models = {its.name: its for its in self.search_registered_models()}
        if name not in models:
            raise RegistryError(f"no model is named {name}; registered are: {', '.join(sorted(models)) or 'none'}")
        return models[name]

    def search_model_versions(self, filter_string: str) -> list[OwnVersion]:
        """Return the versions of a model, the oldest first."""
        rows = self.rows(VERSIONS, filter_string)
        return [OwnVersion(name, number, as_of_here(source), json.loads(tags)) for name, number, source, tags in rows]

    def get_model_version(self, name: str, version: str) -> OwnVersion:
        """Return a version; raise KeyError if there is none."""
        return {its.version: its for its in self.search_model_versions(f"name = '{name}'")}[version]

    def find_run(self, experiment: str, content: str) -> tuple[str, str] | None:
        """Return the ids of experiment and run of the finished run with the given content and its model's files."""
        rows = self.rows(RUNS, experiment, content)
        return next(((str(id_), run) for id_, run, source in rows if folder_of(as_of_here(source)).is_dir()), None)


def as_of_here(address: str) -> str:
    """Return the address of files in the store as it is now, even if it was elsewhere when they were written.

    Nothing is written: a service may see the store by another path than the runs do, as in a container.
    """
    found = LOCATION.match(address)
    return store_root().resolve().as_uri() + address[found.end("store") :] if found else address


@contextmanager
def own_registry() -> Iterator[OwnRegistry]:
    """Open the store's own registry for reading.

    Raises:
        RegistryError: its database is damaged, or another version of MLflow wrote it.
    """
    path = own_database()
    if not path.exists():
        yield OwnRegistry(None)
        return
    try:
        # Only SELECTs follow, but SQLite itself must be able to roll back what a killed process has left half written.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=60)) as database:
            yield OwnRegistry(database)
    except sqlite3.DatabaseError as error:
        raise unusable_database(path, error) from error
