"""Versions: the models in the registry, which of them is the champion, and the records of why."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from tasks.core.environment import store_root
from tasks.core.errors import ModelError, RegistryError
from tasks.store.store import Store

# MLflow is imported inside the functions that need it: a cached run never pays for it.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

# What a model that was registered may become; the first two are aliases in MLflow as well.
CHAMPION, CHALLENGER, NEITHER = "champion", "challenger", "neither"
# Tags of a version: the hash of its content, the record of what was decided on it, and who took its place as champion.
CONTENT, PROMOTION, REPLACED_BY = "content_sha256", "promotion", "replaced_by"
# The folder of a run in MLflow that holds what its model made of the test reviews.
EVALUATION = "evaluation"
# Of the models that have a champion, the one that is meant where nobody says which.
CASE_STUDY = "imdb-classifier"


class Models(Protocol):
    """Who can be asked for registered models: MLflow's client, or who reads the store's own database without it."""

    def search_registered_models(self, *, max_results: int) -> Any:
        """Return what is registered: `name`, and `aliases` with their versions."""

    def get_model_version(self, name: str, version: str) -> Any:
        """Return a version, with its `tags`."""


def has_our_tags(version: Any) -> bool:
    """Tell whether this project has registered a version: it tags each with its content, and before with a decision."""
    return bool({CONTENT, PROMOTION} & set(version.tags))


def champions(client: Models) -> dict[str, int]:
    """Return the version of every champion that this project has registered, by the name of its model."""
    found = {}
    for model in client.search_registered_models(max_results=1000):
        version = dict(model.aliases).get(CHAMPION)
        if version is not None and has_our_tags(client.get_model_version(model.name, str(version))):
            found[model.name] = int(version)
    return found


def model_or_default(client: Models, model: str | None) -> str:
    """Return `model`, or where it is None the one that has a champion; of several imdb-classifier.

    Where none has a champion it is the one that is registered, for a person to make a version of it the first.

    Raises:
        ModelError: there is none, or there are several others; the message names them.
    """
    if model is not None:
        return model
    found = champions(client)
    if CASE_STUDY in found:
        return CASE_STUDY
    if len(found) > 1:
        named = ", ".join(f"{name} (version {version})" for name, version in sorted(found.items()))
        raise ModelError(f"several models have a champion: {named}; say which one with --registered-model NAME")
    names = list(found) or sorted(model.name for model in client.search_registered_models(max_results=1000))
    if len(names) != 1:
        raise ModelError(
            "no model has a champion yet: train one with python flows/imdb_flow.py, promote a version with "
            "python flows/promote_flow.py --registered-model NAME --version N, or name a run folder with --model"
            + (f"; registered are {', '.join(names)}" if names else "")
        )
    return names[0]


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


def version_of(client: "MlflowClient", model: str, content: str) -> "ModelVersion | None":
    """Return the first version of `model` with the given content, or None."""
    versions = client.search_model_versions(f"name = '{model}'")
    alike = [version for version in versions if version.tags.get(CONTENT) == content]
    return min(alike, key=lambda version: int(version.version), default=None)


def record_of(version: "ModelVersion") -> dict[str, Any]:
    """Return the record of what was decided on a version; an empty one where nothing was."""
    record: dict[str, Any] = json.loads(version.tags.get(PROMOTION, "{}"))
    return record


@contextlib.contextmanager
def deciding(model: str) -> Iterator[None]:
    """Hold the right to move the aliases of `model`: of two runs on one store, one decides after the other."""
    with Store(store_root()).locked(f"{PROMOTION}/{model}"):
        yield


def record_decision(
    client: "MlflowClient", version: "ModelVersion", decision: str, reason: str, **facts: Any
) -> dict[str, Any]:
    """Write on a version what was decided and why, and give it the alias; call it within `deciding`.

    Cut short at any point, the next run decides again: the record comes first, and only the alias makes a champion.

    Args:
        client: of the registry.
        version: the version that was decided on.
        decision: "champion", "challenger" or "neither", which takes no alias from another.
        reason: in words.
        facts: what the decision was made from, as JSON values.

    Returns:
        The record.
    """
    model, number = version.name, version.version
    before, beside = version_under(client, model, CHAMPION), version_under(client, model, CHALLENGER)
    record = facts | {"decision": decision, "reason": reason, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    client.set_model_version_tag(model, number, PROMOTION, json.dumps(record))
    if decision != NEITHER:
        client.set_registered_model_alias(model, decision, number)
    if decision != CHALLENGER and beside is not None and beside.version == number:
        client.delete_registered_model_alias(model, CHALLENGER)
    if decision == CHAMPION:
        if REPLACED_BY in version.tags:
            client.delete_model_version_tag(model, number, REPLACED_BY)
        if before is not None and before.version != number:
            client.set_model_version_tag(model, before.version, REPLACED_BY, str(number))
    return record
