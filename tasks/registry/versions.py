"""Versions: the models in the registry, which of them is the champion, and the records of why."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from tasks.core.base_settings import NOT_IN_MODEL_NAMES
from tasks.core.errors import ModelError, RegistryError
from tasks.registry.client import suppress_code

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from tasks.registry.local_registry import OwnRegistry

# What is decided on a version; the first two are aliases in MLflow as well.
CHAMPION: Literal["champion"] = "champion"
CHALLENGER: Literal["challenger"] = "challenger"
NEITHER: Literal["neither"] = "neither"
# Tags of a version: the hash of its content, the source of its texts, the decision on it, and the next champion.
CONTENT, SOURCE, PROMOTION, REPLACED_BY = "content_sha256", "source", "promotion", "replaced_by"
SHA256 = "dataset_sha256"  # a tag, too: the hash of the source
# Start of the tags of a model that record its champions; the time follows.
HISTORY = "champion."
# The folder of a run in MLflow with its model's scores of the test reviews.
EVALUATION = "evaluation"
# The default if several models have a champion.
CASE_STUDY = "imdb-classifier"
Models: TypeAlias = "MlflowClient | OwnRegistry"


class Decision(BaseModel):
    """A decision on a version, as its tag and metrics.json keep it: the fields that were set.

    Attributes:
        decision: champion, challenger or neither.
        against: the champion's version.
        attempt: which challenger of this champion it is, from 1.
        reviews: test reviews on which the two were compared.
        left_out: test reviews that the champion had learnt.
        metric: of --metric, or accuracy.
        difference: by which the challenger is better in the metric, with its ci95.
        only_first: reviews that the challenger alone got right.
        only_second: reviews that the champion alone got right.
        p_value: one-sided, of McNemar's exact test, or of a paired permutation test if the metric is not accuracy.
        level: what the p-value had to be below.
        asked: the settings of the promotion.
        by: a run, or a person.
        at: when, in UTC.
        model: the model's name; metrics.json only.
        version: the version; metrics.json only.
    """

    model_config = ConfigDict(frozen=True)

    decision: Literal["champion", "challenger", "neither"]
    reason: str = ""
    against: int | None = None
    attempt: int | None = None
    reviews: int | None = None
    left_out: int | None = None
    metric: str | None = None
    difference: float | None = None
    ci95: tuple[float, float] | None = None
    only_first: int | None = None
    only_second: int | None = None
    p_value: float | None = None
    level: float | None = None
    asked: dict[str, Any] | None = None
    by: Literal["run", "hand"] | None = None
    at: str | None = None
    model: str | None = None
    version: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields that were set, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)


def model_or_default(client: Models, model: str | None) -> str:
    """Return `model`, or if it is None the one that has a champion; imdb-classifier, if several have one.

    If none has a champion, the only registered model, so that a person can promote its first version.

    Raises:
        ModelError: there is none, or there are several others; the message names them.
    """
    if model is not None:
        return model
    registered, found = client.search_registered_models(max_results=1000), {}
    for its in registered:
        version = dict(its.aliases).get(CHAMPION)
        if version is not None and CONTENT in client.get_model_version(its.name, str(version)).tags:
            found[its.name] = version  # another project may have registered the others
    if CASE_STUDY in found:
        return CASE_STUDY
    if len(found) > 1:
        named = ", ".join(f"{name} (version {version})" for name, version in sorted(found.items()))
        raise ModelError(f"several models have a champion: {named}; choose one with --registered-model NAME")
    names = list(found) or sorted(its.name for its in registered)
    if len(names) != 1:
        raise ModelError(
            "no model has a champion yet: train one with python flows/imdb_flow.py, promote a version with "
            "python flows/promote_flow.py --registered-model NAME --version N, or name a run folder with --model"
            + (f"; registered are {', '.join(names)}" if names else "")
        )
    return names[0]


def version_under(client: Models, model: str, alias: str) -> Any:
    """Return the version of `model` that has an alias, or None."""
    aliases = [dict(found.aliases) for found in client.search_registered_models(f"name = '{model}'")]
    number = aliases[0].get(alias) if aliases else None
    return None if number is None else client.get_model_version(model, str(number))


def other_source(client: Models, model: str, source: str, sha256: str) -> str | None:
    """Return where the texts of the champion are from if it is not `source`, or None; older versions lack the tag.

    Texts with the hash `sha256` are the same wherever they are.
    """
    champion = version_under(client, model, CHAMPION)
    before: str = champion.tags.get(SOURCE, source) if champion else source
    return before if champion and before != source and champion.tags.get(SHA256) != sha256 else None


def version_or_champion(client: Models, model: str, number: int | None) -> Any:
    """Return a version of `model` by its number, or its champion if that is None.

    Raise ModelError if it has no champion, RegistryError, which names its versions, if it has no such version.
    """
    if number is None and (champion := version_under(client, model, CHAMPION)) is not None:
        return champion
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{model}'")}
    if number is None:
        newest = max(versions, default=None)
        decision = decision_on(versions[newest]) if newest else None
        reason = f". {decision.reason}" if decision and decision.decision == NEITHER else ""
        raise ModelError(
            f"{model} has no champion yet: train one with python flows/imdb_flow.py, promote a version with "
            f"python flows/promote_flow.py --registered-model {model} --version {newest or 'N'}, or name a model with "
            f"--model{reason}"
        )
    if number not in versions:
        known = ", ".join(map(str, sorted(versions))) or "none"
        raise RegistryError(f"{model} has no version {number}; it has {known}")
    return versions[number]


def versions_of(client: Models, model: str, content: str) -> list[Any]:
    """Return the versions of `model` with the given content, the first one first."""
    versions = client.search_model_versions(f"name = '{model}'")
    alike = [version for version in versions if version.tags.get(CONTENT) == content]
    return sorted(alike, key=lambda version: int(version.version))


def default_name(dataset: str) -> str:
    """Return the name of the registered model of a data set; characters that cannot be in one become dashes."""
    allowed = "".join(
        "-" if letter in NOT_IN_MODEL_NAMES or not letter.isprintable() else letter for letter in dataset[:200]
    )
    return f"{allowed}-classifier"


def decision_on(version: Any) -> Decision | None:
    """Return what was decided on a version, or None."""
    tag = version.tags.get(PROMOTION)
    return Decision.model_validate_json(tag) if tag else None


def record_decision(client: "MlflowClient", version: "ModelVersion", decision: Decision) -> Decision:
    """Write a decision on its version and move the aliases; call it under `registry_lock`. Return it with its time.

    If this is interrupted, the next run decides again: the record comes first, and only the alias makes a champion.
    """
    model, number = version.name, version.version
    champion, challenger = version_under(client, model, CHAMPION), version_under(client, model, CHALLENGER)
    accuracy, now = accuracy_of(client, version), datetime.now(UTC)
    record = decision.model_copy(update={"at": f"{now:%Y-%m-%dT%H:%M:%SZ}"})
    client.set_model_version_tag(model, number, PROMOTION, json.dumps(record.to_json()))
    if decision.decision != NEITHER:
        client.set_registered_model_alias(model, decision.decision, number)
    if decision.decision != CHALLENGER and challenger is not None and challenger.version == number:
        client.delete_registered_model_alias(model, CHALLENGER)
    if decision.decision == CHAMPION:
        entry = record.model_dump(include={"at", "by", "reason"})
        entry |= {"version": int(number), "accuracy": accuracy}
        client.set_registered_model_tag(model, f"{HISTORY}{now:%Y%m%dT%H%M%S.%f}", json.dumps(entry))
        if REPLACED_BY in version.tags:
            client.delete_model_version_tag(model, number, REPLACED_BY)
        if champion is not None and champion.version != number:
            client.set_model_version_tag(model, champion.version, REPLACED_BY, str(number))
    return record


def accuracy_of(client: "MlflowClient", version: "ModelVersion") -> float | None:
    """Return the test accuracy of a version, or None if its run has been deleted."""
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        return client.get_run(version.run_id).data.metrics.get("test_accuracy") if version.run_id else None
    return None


def past_champions(client: Models, model: str) -> list[dict[str, Any]]:
    """Return "version", "at", "by", "reason" and "accuracy" of every champion so far, the first one first."""
    tags = client.get_registered_model(model).tags
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith(HISTORY)]


def champion_before(client: Models, model: str) -> int:
    """Return the version that the present champion first replaced; raise RegistryError if none is recorded."""
    numbers = [entry["version"] for entry in past_champions(client, model)]
    present = int(version_or_champion(client, model, None).version)
    place = numbers.index(present) if present in numbers else 0
    if not place:
        raise RegistryError(f"{model}: no champion before version {present} is recorded; name a version with --version")
    return int(numbers[place - 1])
