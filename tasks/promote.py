"""Promote: the new model against the champion, on the same test reviews; the better one serves."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.caching import path_of
from tasks.core.errors import ModelError, RegistryError
from tasks.core.flow_settings import PromoteSettings
from tasks.core.journal import noting
from tasks.core.settings import PromotionSettings
from tasks.core.store import Artifact
from tasks.judging.contest import Candidate, Contest, count_attempts, decide, reason_to_refuse
from tasks.judging.exam import Exam, look_up, read_exam
from tasks.judging.own_database import own_database
from tasks.judging.registry import registry
from tasks.judging.remembered import recall, remember, state_of
from tasks.judging.scores import decide_labels
from tasks.judging.versions import (
    CHALLENGER,
    CHAMPION,
    EVALUATION,
    NEITHER,
    REPLACED_BY,
    deciding,
    model_or_default,
    numbered_version,
    record_decision,
    record_of,
    version_under,
)
from tasks.network.classifier import Classifier, load_version
from tasks.reviews.identity import iterate_reviews
from tasks.showing.events import announce_champion

# MLflow, SciPy and TensorFlow are imported inside the functions that need them: a run that finds itself remembered
# never pays for them.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient


class NotComparable(Exception):
    """Two models cannot be tried on the same reviews; the message is the end of a sentence that says why."""


@dataclass(frozen=True)
class Contender:
    """A registered model and what it made of its test reviews.

    Attributes:
        version: in the registry.
        exam: its scores.
    """

    version: "ModelVersion"
    exam: Exam

    @property
    def number(self) -> int:
        """Its version's number."""
        return int(self.version.version)

    @property
    def labels(self) -> list[str]:
        """The name of each label, from label 0 on."""
        names: list[str] = json.loads(self.version.tags["labels"])
        return names

    @property
    def candidate(self) -> Candidate:
        """What it has to show for itself."""
        accuracy = float((self.verdicts(self.exam.scores.probabilities) == self.exam.scores.labels).mean())
        return Candidate(self.number, accuracy, is_trial=self.version.tags["trial"] == "true")

    def verdicts(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the label that the probabilities of each review stand for, at the model's own threshold."""
        return decide_labels(probabilities, float(self.version.tags["threshold"]))

    def verdicts_as(self, labels: list[str], probabilities: np.ndarray) -> np.ndarray:
        """Return `verdicts` by the numbers that another model gives to the same labels.

        Args:
            labels: the names of the other's.
            probabilities: of each review.

        Raises:
            NotComparable: it has a label that the other does not.
        """
        if others := sorted(set(self.labels) - set(labels)):
            raise NotComparable(f"the champion has labels that are no longer there ({', '.join(others)})")
        numbers = np.array([labels.index(name) for name in self.labels])
        verdicts: np.ndarray = numbers[self.verdicts(probabilities)]
        return verdicts


def read_contender(client: "MlflowClient", version: "ModelVersion") -> Contender:
    """Return a registered version with its scores, from its MLflow run.

    Raises:
        NotComparable: they are gone.
    """
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = client.download_artifacts(str(version.run_id), EVALUATION, scratch)
            return Contender(version, read_exam(Path(folder)))
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        reason = f"what version {version.version} made of its test reviews is no longer in MLflow ({error})"
        raise NotComparable(reason) from error


def predict_reviews(classifier: Classifier, downloaded: Path, reviews: np.ndarray) -> np.ndarray:
    """Return a classifier's probabilities of each test review of a download: (n,) or (n, labels) float32.

    Args:
        classifier: scores their texts.
        downloaded: the folder of the download.
        reviews: (n,) uint64, which of its test reviews.

    Raises:
        NotComparable: it has no texts, or not these.
    """
    known, found = [], []
    for hashes, texts in iterate_reviews(downloaded, "test"):
        if texts is None:
            raise NotComparable("its test reviews came without a word index, so their words are not known")
        chosen = np.isin(hashes, reviews)
        known.append(hashes[chosen])
        found.append(classifier.predict(texts.filter(pa.array(chosen))))
    probabilities = look_up(reviews, np.concatenate(known), np.concatenate(found)) if known else None
    if probabilities is None:
        raise NotComparable("its test reviews are not those that were downloaded")
    return probabilities


def hold_contest(
    client: "MlflowClient",
    uri: str | None,
    challenger: Contender,
    champion: "ModelVersion",
    downloaded: Path,
    attempt: int | None,
) -> Contest:
    """Have the champion judge the challenger's test reviews, but for those that the champion has learnt.

    Where they are all among the champion's own test reviews its scores are known; else it scores their texts.

    Args:
        client: of the registry.
        uri: its address.
        challenger: the new model.
        champion: the version to beat.
        downloaded: the folder that the challenger's reviews came from.
        attempt: which challenger of this champion it is; None counts.

    Raises:
        NotComparable: there are no reviews that both can be tried on.
    """
    if champion.tags.get("dataset") != challenger.version.tags["dataset"]:
        raise NotComparable(f"it was tested on other reviews ({challenger.version.tags['dataset']})")
    holder = read_contender(client, champion)
    mine = challenger.exam
    fresh = ~np.isin(mine.reviews.tested, holder.exam.reviews.learnt)
    reviews = mine.reviews.tested[fresh]
    if not len(reviews):
        raise NotComparable("the champion has learnt all of its test reviews")
    probabilities = look_up(reviews, holder.exam.reviews.tested, holder.exam.scores.probabilities)
    if probabilities is None:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                classifier = load_version(champion, uri, Path(scratch))
        except (ModelError, RegistryError) as error:
            raise NotComparable(f"the champion cannot be loaded ({error})") from error
        probabilities = predict_reviews(classifier, downloaded, reviews)
    defending = holder.verdicts_as(challenger.labels, probabilities)
    if attempt is None:
        others = client.search_model_versions(f"name = '{champion.name}'")
        records = [record_of(its) for its in others if its.version != challenger.version.version]
        attempt = 1 + count_attempts(records, holder.number, len(reviews))
    labels = mine.scores.labels[fresh]
    return Contest(
        champion=holder.number,
        attempt=attempt,
        challenging=challenger.verdicts(mine.scores.probabilities[fresh]) == labels,
        defending=defending == labels,
        left_out=int((~fresh).sum()),
    )


def judge_version(
    client: "MlflowClient",
    uri: str | None,
    version: "ModelVersion",
    champion: "ModelVersion | None",
    downloaded: Path,
    settings: PromotionSettings,
) -> dict[str, Any]:
    """Return what becomes of a version: what `decide` returns, or why it was not compared."""
    against = int(champion.version) if champion else None
    try:
        challenger = read_contender(client, version)
        refused = reason_to_refuse(challenger.candidate, settings)
        if refused:
            return {"decision": NEITHER, "reason": refused, "against": against}
        if champion is None:
            return decide(challenger.candidate, None, settings)
        record = record_of(version)
        # Asked again with other settings it is still the same attempt: its verdicts are the same.
        attempt = record.get("attempt") if record.get("against") == against else None
        contest = hold_contest(client, uri, challenger, champion, downloaded, attempt)
        return decide(challenger.candidate, contest, settings)
    except NotComparable as reason:
        beside = f" with the champion, version {against}" if against else ""
        sentence = f"Version {version.version} is not compared{beside}: {reason}; promote by hand if it is to serve."
        return {"decision": CHALLENGER if against else NEITHER, "reason": sentence, "against": against}


def find_standing(
    version: "ModelVersion", champion: "ModelVersion | None", settings: PromotionSettings
) -> dict[str, Any] | None:
    """Return the decision on a version that stands, or None where one is to be made."""
    record, number = record_of(version), int(version.version)
    if champion is not None and int(champion.version) == number:
        if record.get("decision") == CHAMPION:
            return record
        return {"decision": CHAMPION, "reason": f"Version {number} is the champion.", "against": None}
    if champion is not None and REPLACED_BY in version.tags:
        reason = (
            f"Version {number} was the champion until version {version.tags[REPLACED_BY]} took its place. A run does "
            f"not put it back; a person may: python flows/promote_flow.py --version {number}"
        )
        return {"decision": NEITHER, "reason": reason, "against": int(champion.version)}
    against = int(champion.version) if champion else None
    is_same = record.get("against") == against and record.get("asked") == settings.model_dump()
    return record if is_same and record.get("decision") in (CHALLENGER, NEITHER) else None


def promote_version(
    tracked: dict[str, Any], downloaded: Path, settings: PromotionSettings
) -> tuple[dict[str, Any], bool]:
    """Decide on the version that was tracked, unless that is done, and record it in the registry.

    Returns:
        What metrics.json holds of it (the record, "model" and "version"), and whether the decision is new.
    """
    model, number = tracked["model"], tracked["version"]
    with registry(tracked["uri"]) as client, deciding(model):
        version = client.get_model_version(model, str(number))
        champion = version_under(client, model, CHAMPION)
        record = find_standing(version, champion, settings)
        is_new = record is None
        if record is None:
            verdict = judge_version(client, tracked["uri"], version, champion, downloaded, settings)
            record = record_decision(client, version, **verdict, asked=settings.model_dump(), by="run")
    return record | {"model": model, "version": number}, is_new


def promote_by_hand(uri: str | None, settings: PromoteSettings) -> dict[str, Any]:
    """Make a version the champion because a person says so, and return the record of it.

    Raises:
        ModelError: it is not said of which model, and there are several.
        RegistryError: there is no such version.
    """
    with registry(uri) as client:
        model = model_or_default(client, settings.registered_model)
        with deciding(model):
            version = numbered_version(client, model, settings.version)
            before = version_under(client, model, CHAMPION)
            against = int(before.version) if before is not None and before.version != version.version else None
            facts: dict[str, Any] = {"decision": CHAMPION, "reason": settings.reason, "against": against}
            record = record_decision(client, version, **facts, by="hand")
    return record | {"model": model, "version": settings.version}


@task(cache_policy=NO_CACHE, task_run_name="promote")
def promote(tracked: dict[str, Any], downloaded: Artifact, settings: PromotionSettings) -> dict[str, Any]:
    """Decide whether the registered model becomes the champion; what was decided already is found, each time."""
    folder, is_own = path_of(downloaded), tracked["uri"] is None
    with noting(str(flow_run.id), "promote") as step:
        known = recall(tracked["content"]) if is_own else None
        verdict, is_new = (known["promotion"], False) if known else promote_version(tracked, folder, settings)
        if is_new and verdict["decision"] == CHAMPION:
            announce_champion(verdict)
        if is_own and not known:
            # Asked once more, from a state that is known: so nothing that others write meanwhile is missed.
            state = state_of(own_database())
            verdict, has_moved = promote_version(tracked, folder, settings)
            if not has_moved:
                remember(tracked["content"], {"tracking": tracked, "promotion": verdict}, state)
        step["cached"] = not is_new
    get_run_logger().info("%(decision)s: %(reason)s", verdict)
    return verdict


@task(cache_policy=NO_CACHE, task_run_name="promote version {settings.version}")
def promote_hand(settings: PromoteSettings, uri: str | None) -> dict[str, Any]:
    """Make a version the champion by hand."""
    verdict = promote_by_hand(uri, settings)
    announce_champion(verdict)
    return verdict
