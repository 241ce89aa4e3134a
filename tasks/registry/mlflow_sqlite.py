"""The store's own registry, read from MLflow's SQLite file without MLflow, whose import takes seconds."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.core.environment import store_root
from tasks.core.errors import RegistryError
from tasks.registry.local_database import DATABASE_REMEDY, LOCATION, folder_of, own_database

RUNS = """
SELECT e.experiment_id, r.run_uuid, m.artifact_location FROM experiments e
JOIN runs r ON r.experiment_id = e.experiment_id JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'content'
JOIN logged_models m ON m.source_run_id = r.run_uuid
WHERE e.name = ? AND t.value = ? AND r.status = 'FINISHED'
AND 'active' = e.lifecycle_stage AND 'active' = r.lifecycle_stage AND 'active' = m.lifecycle_stage
ORDER BY r.start_time DESC"""


@dataclass(frozen=True)
class OwnModel:
    """A registered model: its name, and its aliases with their versions."""

    name: str
    aliases: dict[str, str]


@dataclass(frozen=True)
class OwnVersion:
    """A version of a registered model: its number, the address of its files, and its tags."""

    name: str
    version: str
    source: str
    tags: dict[str, str]


class OwnRegistry:
    """Read-only subset of MlflowClient, on SQLite; without a database it is empty."""

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self.database = database

    def rows(self, query: str, *values: str | int | None) -> list[Any]:
        """Return the rows that a query selects."""
        return self.database.execute(query, values).fetchall() if self.database else []

    def search_registered_models(self, filter_string: str | None = None, max_results: int = 1000) -> list[OwnModel]:
        """Return the registered models, by name."""
        names = "SELECT name FROM registered_models WHERE name = coalesce(?, name) ORDER BY name LIMIT ?"
        aliases = "SELECT alias, CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ?"
        wanted = name_in(filter_string) if filter_string else None
        return [OwnModel(name, dict(self.rows(aliases, name))) for (name,) in self.rows(names, wanted, max_results)]

    def search_model_versions(self, filter_string: str) -> list[OwnVersion]:
        """Return the versions of a model, the oldest first."""
        name = name_in(filter_string)
        # For a model that was logged as MLflow 3 does, `source` is the model's name and the other column the address.
        places = "SELECT version, COALESCE(storage_location, source) FROM model_versions WHERE name = ?"
        tags: dict[int, dict[str, str]] = {}
        for number, key, value in self.rows("SELECT version, key, value FROM model_version_tags WHERE name = ?", name):
            tags.setdefault(number, {})[key] = value
        return [
            OwnVersion(name, str(number), as_of_here(source), tags.get(number, {}))
            for number, source in self.rows(f"{places} AND current_stage != 'Deleted_Internal' ORDER BY version", name)
        ]

    def get_model_version(self, name: str, version: str) -> OwnVersion:
        """Return a version.

        Raises:
            KeyError: there is none.
        """
        return {its.version: its for its in self.search_model_versions(f"name = '{name}'")}[version]

    def find_run(self, experiment: str, content: str) -> tuple[str, str] | None:
        """Return the ids of the experiment and of the finished run that has the given content and its model's files.

        None if there is no such run, or if a run may have been killed while it was logged.
        """
        if self.rows("SELECT 1 FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active'"):
            return None
        for experiment_id, run, source in self.rows(RUNS, experiment, content):
            if folder_of(as_of_here(source)).is_dir():
                return str(experiment_id), run
        return None


def name_in(filter_string: str) -> str:
    """Return the name in the one filter that this project uses: name = 'NAME'."""
    found = re.fullmatch("name = '(.*)'", filter_string)
    if found is None:
        raise ValueError(f"{filter_string!r}: expected name = 'NAME'")
    return found[1]


def as_of_here(address: str) -> str:
    """Return the address of files in the store as it is now, even if it was elsewhere when they were written.

    Nothing is written: a service may see the store by another path than the runs do, as in a container.
    """
    found = LOCATION.match(address)
    return store_root().as_uri() + address[found.end("store") :] if found else address


@contextlib.contextmanager
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
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=60)) as database:
            yield OwnRegistry(database)
    except sqlite3.DatabaseError as error:
        raise RegistryError(f"MLflow at {path}: its database cannot be used ({error}); {DATABASE_REMEDY}") from error
