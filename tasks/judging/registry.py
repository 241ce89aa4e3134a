"""The registry: runs and models in MLflow, under the store by default or wherever MLFLOW_TRACKING_URI points."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tasks.core.addresses import has_password
from tasks.core.environment import store_root
from tasks.core.errors import RegistryError, RegistryUnreachable
from tasks.core.store import Store
from tasks.judging.own_database import open_database, own_artifacts, own_database, sqlite_address

# MLflow is imported inside the functions that need it: a cached run never pays for it.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
PROMOTION = "promotion"
CLASSIFIER, EVALUATION = "classifier", "evaluation"


def tracking_uri() -> str | None:
    """Return the address that MLFLOW_TRACKING_URI names, or None, which stands for the store's own database.

    Raises:
        RegistryError: there is a password in it, which every run would keep.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI") or None
    if address and has_password(address):
        raise RegistryError(
            "MLFLOW_TRACKING_URI has a user or a password in it, which every run would keep: take it out, and set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, which are read"
        )
    return address


def address_of(uri: str | None) -> str:
    """Return the address of a registry as MLflow takes it."""
    return uri or sqlite_address(own_database())


@contextlib.contextmanager
def registry(uri: str | None) -> Iterator["MlflowClient"]:
    """Give a client of the registry at `uri` (None: the store's own), and turn its failures into errors with a remedy.

    Raises:
        RegistryUnreachable: nobody answers there.
        RegistryError: it answers that the request cannot be done.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import DatabaseError

    address = address_of(uri)
    try:
        if uri is None:
            open_database()
        yield MlflowClient(address, address)
    except MlflowException as error:
        message = str(error).splitlines()[0]
        status = error.get_http_status_code()  # type: ignore[no-untyped-call]
        if "API request to" in message or status >= 502:
            raise RegistryUnreachable(
                f"MLflow at {address} does not answer ({message.partition(' failed with')[0]})"
            ) from error
        raise RegistryError(f"MLflow at {address}: {message}") from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise RegistryError(
            f"MLflow at {address}: its database cannot be used ({getattr(error, 'orig', error)}); bring back a copy "
            "of it, or move it away to begin anew: models that it named are then no longer registered"
        ) from error


def experiment_id(client: "MlflowClient", uri: str | None, name: str) -> str:
    """Return the experiment's id; it is made where there is none, its files in the store if the registry is there."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = own_artifacts() if uri is None else None
    return str(client.create_experiment(name, artifact_location=location))


def version_under(client: "MlflowClient", model: str, alias: str) -> "ModelVersion | None":
    """Return the version of `model` that has an alias, or None where no version has it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model, alias)
    except MlflowException as error:
        # A missing model is one thing to MLflow, a missing alias another.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def numbered_version(client: "MlflowClient", model: str, number: int) -> "ModelVersion":
    """Return a version of `model` by its number.

    Raises:
        RegistryError: there is none; the message names those that there are.
    """
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{model}'")}
    if number not in versions:
        known = ", ".join(map(str, sorted(versions))) or "none"
        raise RegistryError(f"{model} has no version {number}; it has {known}")
    return versions[number]


@contextlib.contextmanager
def deciding(model: str) -> Iterator[None]:
    """Hold the right to move the aliases of `model`: of two runs on one store, one decides after the other."""
    with Store(store_root()).locked(f"{PROMOTION}/{model}"):
        yield


def record_decision(client: "MlflowClient", version: "ModelVersion", decision: str, reason: str, **facts: Any) -> None:
    """Give a version the alias that was decided on, and write the reason on it; call it within `deciding`.

    Args:
        client: of the registry.
        version: the version that was decided on.
        decision: "champion" or "challenger".
        reason: in words.
        facts: what the decision was made from, as JSON values.
    """
    model = version.name
    before = version_under(client, model, CHAMPION)
    record = facts | {"decision": decision, "reason": reason, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    client.set_model_version_tag(model, version.version, PROMOTION, json.dumps(record))
    client.set_registered_model_alias(model, decision, version.version)
    if decision == CHAMPION:
        if before is not None and before.version != version.version:
            client.set_model_version_tag(model, before.version, "replaced_by", str(version.version))
        beside = version_under(client, model, CHALLENGER)
        if beside is not None and beside.version == version.version:
            client.delete_registered_model_alias(model, CHALLENGER)
