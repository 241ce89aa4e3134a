"""The store's own registry, read without MLflow: which versions there are, and where their files lie.

MLflow takes seconds to be imported, and more to look whether its database is of its time; a text is scored meanwhile.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from tasks.core.environment import store_root
from tasks.registry.local_database import LOCATION, own_database
from tasks.registry.versions import CHAMPION, model_or_default


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
    """Answers, of what MLflow's client is asked, what a reader needs."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Read a database of MLflow's."""
        self.database = database

    def search_registered_models(self, *, max_results: int) -> list[OwnModel]:
        """Return the registered models, by name."""
        names = self.database.execute("SELECT name FROM registered_models ORDER BY name LIMIT ?", [max_results])
        found = "SELECT alias, CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ?"
        return [OwnModel(name, dict(self.database.execute(found, [name]))) for (name,) in names.fetchall()]

    def get_model_version(self, name: str, version: str) -> OwnVersion:
        """Return a version.

        Raises:
            KeyError: there is none.
        """
        key = [name, int(version)]
        # Of a model that was logged as MLflow 3 does, `source` names it and the other column the place.
        query = "SELECT COALESCE(storage_location, source) FROM model_versions WHERE name = ? AND version = ?"
        row = self.database.execute(f"{query} AND current_stage != 'Deleted_Internal'", key).fetchone()
        if row is None:
            raise KeyError(f"{name} version {version}")
        tags = self.database.execute("SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", key)
        return OwnVersion(name, version, as_of_here(row[0]), dict(tags))


def as_of_here(address: str) -> str:
    """Return the address of files in the store as it is now, also where it was elsewhere when they were written.

    Nothing is written for that: a service may see the store by another path than the runs do, as in a container.
    """
    found = LOCATION.match(address)
    return store_root().as_uri() + address[found.end("store") :] if found else address


def read_version(model: str | None, number: int | None) -> OwnVersion | None:
    """Return a version in the store's own registry, or None where MLflow itself must say what there is.

    Args:
        model: its name; None takes the one that has a champion.
        number: None takes the champion.

    Raises:
        ModelError: there is no model with a champion, or there are several; the message names them.
    """
    if not own_database().exists():
        return None
    try:
        with closing(sqlite3.connect(f"{own_database().as_uri()}?mode=ro", uri=True, timeout=60)) as database:
            asked = OwnRegistry(database)
            name = model_or_default(asked, model)
            aliases = {model.name: model.aliases for model in asked.search_registered_models(max_results=1000)}
            found = str(number) if number is not None else aliases.get(name, {}).get(CHAMPION)
            return asked.get_model_version(name, found) if found else None
    except (sqlite3.DatabaseError, KeyError):
        return None
