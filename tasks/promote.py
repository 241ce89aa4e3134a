"""Promote: the new model against the champion, on the same test reviews; the better one serves."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.core.caching import BY_CONTENT, keep, path_of
from tasks.core.flow_settings import PromoteSettings
from tasks.core.settings import PromotionSettings
from tasks.core.store import Artifact
from tasks.judging.metrics import compare
from tasks.judging.registry import (
    CHALLENGER,
    CHAMPION,
    EVALUATION,
    deciding,
    numbered_version,
    record_decision,
    registry,
    version_under,
)
from tasks.judging.scores import read_scores
from tasks.showing.events import announce_champion

# MLflow and SciPy are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

PROMOTED = "promotion.json"


@dataclass(frozen=True)
class Candidate:
    """A registered model and its verdicts.

    Attributes:
        version: its number in the registry.
        dataset: the name of the reviews that it was trained and tested on.
        test_set: equal for two candidates only if they were tested on the same reviews in the same order.
        is_trial: it saw a part of the reviews only.
        labels: (n,) 0 or 1.
        predicted: (n,) 0 or 1, at its own threshold.
    """

    version: int
    dataset: str
    test_set: str
    is_trial: bool
    labels: np.ndarray
    predicted: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of right verdicts."""
        return float((self.labels == self.predicted).mean())


def decide(challenger: Candidate, champion: Candidate | None, settings: PromotionSettings) -> dict[str, Any]:
    """Decide whether the challenger becomes the champion.

    It does if it has the accuracy that is asked for, and there is no champion or it is better by McNemar's test. Two
    models that were not tested on the same reviews are never compared.

    Returns:
        "decision" ("champion" or "challenger"), "reason" in words, "against" the champion's version or null, and where
        the two were compared what `compare` returns.
    """
    verdict: dict[str, Any] = {"decision": CHALLENGER, "against": champion.version if champion else None}
    name = f"Version {challenger.version}"
    if challenger.is_trial:
        return verdict | {"reason": f"{name} is a trial on a part of the reviews (data.max_reviews); none is promoted."}
    if challenger.accuracy < settings.min_accuracy:
        return verdict | {
            "reason": f"{name} has a test accuracy of {challenger.accuracy:.4f}; a champion must have "
            f"{settings.min_accuracy} (promotion.min_accuracy)."
        }
    if champion is None:
        return verdict | {"decision": CHAMPION, "reason": f"{name} is the first champion: there was none."}
    if (challenger.dataset, challenger.test_set) != (champion.dataset, champion.test_set):
        return verdict | {
            "reason": f"{name} was tested on other reviews ({challenger.dataset}) than the champion, version "
            f"{champion.version} ({champion.dataset}), so the two are not compared; promote by hand if it is to serve."
        }
    compared = compare(challenger.labels, challenger.predicted, champion.predicted)
    points = f"{100 * compared['difference']:+.2f} points of test accuracy, p = {compared['p_value']:.3g}"
    if compared["difference"] > 0 and compared["p_value"] < settings.alpha:
        reason = f"{name} is better than the champion before it, version {champion.version}: {points}."
        return verdict | compared | {"decision": CHAMPION, "reason": reason}
    reason = f"{name} is not better than the champion, version {champion.version}, beyond chance: {points}."
    return verdict | compared | {"reason": reason}


def read_candidate(client: "MlflowClient", version: "ModelVersion") -> Candidate:
    """Return a registered version with its verdicts on its test reviews, from its MLflow run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = client.download_artifacts(str(version.run_id), EVALUATION, scratch)
        scores = read_scores(Path(folder), "test")
    return Candidate(
        version=int(version.version),
        dataset=version.tags["dataset"],
        test_set=version.tags["test_set"],
        is_trial=version.tags["trial"] == "true",
        labels=scores.labels,
        predicted=scores.verdicts(float(version.tags["threshold"])),
    )


def promote_version(tracking: dict[str, Any], settings: PromotionSettings, folder: Path) -> dict[str, Any]:
    """Decide on the version that `tracking` names, record it in the registry, and write promotion.json.

    Returns:
        What promotion.json holds: what `decide` returns, and the "model" and "version" decided on.
    """
    model = tracking["model"]
    with registry(tracking["uri"]) as client, deciding(model):
        version = client.get_model_version(model, str(tracking["version"]))
        before = version_under(client, model, CHAMPION)
        if before is not None and before.version == version.version:
            verdict: dict[str, Any] = {
                "decision": CHAMPION,
                "reason": f"Version {version.version} is the champion.",
                "against": None,
            }
        else:
            champion = read_candidate(client, before) if before is not None else None
            verdict = decide(read_candidate(client, version), champion, settings)
            record_decision(client, version, **verdict, by="run")
    verdict |= {"model": model, "version": int(version.version)}
    (folder / PROMOTED).write_text(json.dumps(verdict, indent=1))
    return verdict


def promote_by_hand(uri: str | None, settings: PromoteSettings) -> dict[str, Any]:
    """Make a version the champion because a person says so, and return the record of it.

    Raises:
        RegistryError: there is no such version.
    """
    model = settings.registered_model
    with registry(uri) as client, deciding(model):
        version = numbered_version(client, model, settings.version)
        before = version_under(client, model, CHAMPION)
        against = int(before.version) if before is not None and before.version != version.version else None
        facts: dict[str, Any] = {"decision": CHAMPION, "reason": settings.reason, "against": against}
        record_decision(client, version, **facts, by="hand")
    return facts | {"model": model, "version": settings.version}


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="promote")
def promote(tracked: Artifact, settings: PromotionSettings) -> Artifact:
    """Decide once whether the registered model becomes the champion."""
    tracking = json.loads(path_of(tracked, "tracking.json").read_text())

    def fill(folder: Path) -> dict[str, Any]:
        verdict = promote_version(tracking, settings, folder)
        if verdict["decision"] == CHAMPION:
            announce_champion(verdict)
        return verdict

    promoted = keep(fill)
    get_run_logger().info("%(decision)s: %(reason)s", promoted.meta)
    return promoted


@task(cache_policy=NO_CACHE, task_run_name="promote version {settings.version}")
def promote_hand(settings: PromoteSettings, uri: str | None) -> dict[str, Any]:
    """Make a version the champion by hand."""
    verdict = promote_by_hand(uri, settings)
    announce_champion(verdict)
    return verdict
