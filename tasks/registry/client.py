"""MLflow's client, of the store's own registry or of a server, and what every run logs: settings and tags."""

import contextlib
import hashlib
import os
import platform
import re
import secrets
import sqlite3
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.environment import PROJECT, store_root
from tasks.core.errors import PipelineError, RegistryError, describe
from tasks.core.files import replace_file
from tasks.core.provenance import describe_machine
from tasks.core.user_paths import has_password, sqlite_address
from tasks.registry.local_registry import open_database, own_artifacts, own_database, unusable_database

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

LOGIN = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
REMEDY = f"check that MLFLOW_TRACKING_URI is the address of an MLflow server, and that it runs; to log in, {LOGIN}"
OTHER_REMEDY = (
    "Install the package that is missing (pip install '.[postgres]' for PostgreSQL); if that is about the server's "
    "files, which clients write to its artifact root, start it with --artifacts-destination"
)
ADDRESS = re.compile(r"(https?|(sqlite|postgresql|mysql|mssql)(\+\w+)?)://|databricks")


def tracking_uri() -> str | None:
    """Return MLFLOW_TRACKING_URI, or None for the store's own database.

    Raise RegistryError if MLflow cannot use it, or if it holds a password, which every run would keep.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        return None
    if has_password(address):
        raise RegistryError(
            f"MLFLOW_TRACKING_URI has a user or a password in it, which every run would keep: take it out, and {LOGIN}"
        )
    if not ADDRESS.match(address):
        raise RegistryError(
            f"MLFLOW_TRACKING_URI={address}: expected http://HOST:PORT of a server, or sqlite:///PATH of a database"
        )
    return address


def address_of(uri: str | None) -> str:
    """Return the address of a registry as MLflow takes it."""
    return uri or sqlite_address(own_database())


@contextlib.contextmanager
def registry(uri: str | None) -> Iterator["MlflowClient"]:
    """Open a client of the registry at `uri` (None: the store's own), and turn its failures into errors with a remedy.

    Raises:
        RegistryError: the server does not answer or refuses the request, or the database is damaged; or this machine
            cannot write files where a server that is not the store's own has them.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from requests import RequestException
    from sqlalchemy.exc import DatabaseError

    address = address_of(uri)
    try:
        if uri is None:
            open_database()
        yield MlflowClient(address, address)
    except (MlflowException, RequestException) as error:
        remedy = f"; {REMEDY}" if address.startswith("http") else ""  # of a database, the error has its own
        raise RegistryError(f"MLflow at {address} failed: {first_line(error)}{remedy}") from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise unusable_database(address, getattr(error, "orig", error)) from error
    except Exception as error:
        # MLflow passes on those of the system, and of clients of object stores.
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if uri is None or isinstance(error, PipelineError) or raised_in.is_relative_to(PROJECT / "tasks"):
            raise
        raise RegistryError(f"MLflow at {address} failed: {describe(error)}. {OTHER_REMEDY}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def experiment_id(client: "MlflowClient", uri: str | None, name: str) -> str:
    """Return the experiment's id; it is created or restored if need be, with its files in the store's own registry."""
    experiment: Any = client.get_experiment_by_name(name)
    if experiment is None:
        with suppress_code("RESOURCE_ALREADY_EXISTS"):  # another store that shares the registry has created it
            client.create_experiment(name, artifact_location=own_artifacts() if uri is None else None)
        experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":  # its name stays taken, so there is no other way to log under it
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


@contextlib.contextmanager
def suppress_code(code: str) -> Iterator[None]:
    """Suppress MLflow's errors that have the given code."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `section.setting`: text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


def metrics_of(
    history: Sequence[Mapping[str, float]], numbers: Mapping[str, float | None], **belonging: str
) -> list["Metric"]:
    """Return the metrics of each epoch, and other `numbers` except nulls; `belonging` are arguments of `Metric`."""
    from mlflow.entities import Metric

    points = [(name, value, int(epoch["epoch"])) for epoch in history for name, value in epoch.items()]
    points += [(name, value, 0) for name, value in numbers.items() if value is not None]
    now = int(time.time() * 1000)
    return [Metric(name, value, now, step, **belonging) for name, value, step in points if name != "epoch"]


def describe_run(content: str) -> dict[str, str]:
    """Return the tags of a run: its content, machine, commit and store."""
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_GIT_DIRTY

    machine = describe_machine()
    names = {"commit": MLFLOW_GIT_COMMIT, "dirty": MLFLOW_GIT_DIRTY}
    facts = {names.get(name, name): str(value) for name, value in machine.items() if value is not None}
    place = f"{platform.node()}:{store_root()}"
    return {"content": content, "store": place, "store_id": store_id()} | facts


def store_id() -> str:
    """Return an id that distinguishes this store from others on the same server, wherever it is moved or mounted.

    It is created at first use; call this under the lock `mlflow/log`.
    """
    path = store_root() / "mlflow" / "id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, secrets.token_hex(16).encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()
