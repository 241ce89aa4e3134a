"""MLflow's client, of the store's own registry or of a server, and what every run logs: settings and tags."""

import contextlib
import hashlib
import os
import platform
import re
import secrets
import sqlite3
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.environment import store_root
from tasks.core.errors import RegistryError, RegistryUnreachable
from tasks.core.files import replace_file
from tasks.core.machine import describe_machine
from tasks.core.paths import has_password, sqlite_address
from tasks.registry.local_database import DATABASE_REMEDY, open_database, own_artifacts, own_database

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# What to do about an HTTP status that MLflow itself does not send, but proxies and hosts in front of it do.
CREDENTIALS = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
REMEDIES = {
    401: CREDENTIALS,
    403: f"{CREDENTIALS}, of someone who may write there",
    404: "check that MLFLOW_TRACKING_URI is the address of an MLflow server",
    429: "try again later, or raise the server's limit",
}


def tracking_uri() -> str | None:
    """Return the address in MLFLOW_TRACKING_URI, or None, which stands for the store's own database.

    Raises:
        RegistryError: there is a password in it, which every run would keep, or MLflow cannot use it.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI") or None
    if address and has_password(address):
        raise RegistryError(
            "MLFLOW_TRACKING_URI has a user or a password in it, which every run would keep: take it out, and set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, which are read"
        )
    if address:
        check_tracking_address(address)
    return address


def check_tracking_address(address: str) -> None:
    """Raise RegistryError for an address without a scheme, and for a database whose driver is not installed."""
    scheme, mark, _rest = address.partition("://")
    if not mark and not re.match(r"file:|databricks|uc|[/.~]", address) and not Path(address).is_dir():
        raise RegistryError(
            f"MLFLOW_TRACKING_URI={address} has no scheme: write http://{address} for a server, "
            f"or ./{address} for a folder"
        )
    if scheme.partition("+")[0] not in ("postgresql", "mysql", "mssql"):
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(address).get_dialect().import_dbapi()
    except ImportError as error:
        remedy = "pip install '.[postgres]'" if scheme.startswith("postgresql") else f"pip install {error.name}"
        raise RegistryError(f"MLFLOW_TRACKING_URI: {scheme}:// needs the package {error.name}: {remedy}") from error
    except ArgumentError as error:
        raise RegistryError(f"MLFLOW_TRACKING_URI: {scheme}:// is not known ({error}); fix the scheme") from error


def address_of(uri: str | None) -> str:
    """Return the address of a registry as MLflow takes it."""
    return uri or sqlite_address(own_database())


@contextlib.contextmanager
def registry(uri: str | None) -> Iterator["MlflowClient"]:
    """Open a client of the registry at `uri` (None: the store's own), and turn its failures into errors with a remedy.

    Raises:
        RegistryUnreachable: the server does not answer, or not as MLflow's does.
        RegistryError: it refuses the request, or its database is damaged.
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
    except MlflowException as error:
        message = next(iter(str(error).splitlines()), type(error).__name__)
        status = error.get_http_status_code()  # type: ignore[no-untyped-call]
        is_foreign = "API request to" in message or "error_code" not in getattr(error, "json", {"error_code": ""})
        if is_foreign or status in (401, 403, 429) or status >= 502:
            raise RegistryUnreachable(f"MLflow at {address} {describe_response(message, status)}") from error
        raise RegistryError(f"MLflow at {address}: {message}") from error
    except RequestException as error:  # from the transfer of a model's files
        status = error.response.status_code if error.response is not None else 0
        message = f"error code {status}" if status else f"its files failed with exception {error}"
        raise RegistryUnreachable(f"MLflow at {address} {describe_response(message, status)}") from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        reason = getattr(error, "orig", error)
        raise RegistryError(
            f"MLflow at {address}: its database cannot be used ({reason}); {DATABASE_REMEDY}"
        ) from error


def describe_response(message: str, status: int) -> str:
    """Return what a server answered that is not MLflow's usual response, and what to do.

    Args:
        message: the first line of MLflow's error.
        status: the HTTP status that MLflow gives the error.
    """
    if code := re.search(r"(?:error code |too many )(\d{3})\b", message):
        status = int(code[1])
    elif "failed with exception" in message:
        if "redirects" in message:
            return f"redirects in a circle; {REMEDIES[404]}"
        return f"does not answer ({message.partition(' failed with exception')[0]}); is it running?"
    elif "valid JSON" in message:
        return f"answered with a page that is not MLflow's, such as one to log in; {REMEDIES[404]}, and {REMEDIES[401]}"
    elif "Response: {" in message:  # JSON that is not MLflow's, whose status MLflow does not keep
        return f"answered {message.partition('Response: ')[2]}; {REMEDIES[404]}, and {REMEDIES[401]}"
    remedy = REMEDIES.get(status) or ("try again later" if status >= 500 else REMEDIES[404])
    return f"answered {status} ({HTTPStatus(status).phrase if status in set(HTTPStatus) else 'unknown'}); {remedy}"


def experiment_id(client: "MlflowClient", uri: str | None, name: str) -> str:
    """Return the experiment's id; it is created or restored if need be, with its files in the store's own registry."""
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":  # its name stays taken, so there is no other way to log under it
            client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)
    location = own_artifacts() if uri is None else None
    with suppress_existing():
        return str(client.create_experiment(name, artifact_location=location))
    return experiment_id(client, uri, name)  # another store has created it since


@contextlib.contextmanager
def suppress_existing() -> Iterator[None]:
    """Keep what exists already: another store that shares the registry created it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `section.setting`: text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


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
