"""Contenders: registered models that would serve, each with its exam, and the champion sitting its challenger's."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.core.errors import ModelError, RegistryError
from tasks.evaluation.scores import HeldOutScores, decide_labels, look_up, read_held_out
from tasks.network.bundle import Classifier
from tasks.registry.contest import Candidate, Contest
from tasks.registry.loading import load_version
from tasks.registry.versions import EVALUATION
from tasks.texts.identity import iterate_texts

# MLflow and TensorFlow are imported inside the functions that need them: a cached run never pays for them.
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
    exam: HeldOutScores

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
            return Contender(version, read_held_out(Path(folder)))
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
    for hashes, texts in iterate_texts(downloaded, "test"):
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
) -> Contest:
    """Have the champion judge the challenger's test reviews, but for those that the champion has learnt.

    Where they are all among the champion's own test reviews its scores are known; else it scores their texts.

    Args:
        client: of the registry.
        uri: its address.
        challenger: the new model.
        champion: the version to beat.
        downloaded: the folder that the challenger's reviews came from.

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
    labels = mine.scores.labels[fresh]
    return Contest(
        challenger=challenger.number,
        champion=holder.number,
        challenging=challenger.verdicts(mine.scores.probabilities[fresh]) == labels,
        defending=defending == labels,
        left_out=int((~fresh).sum()),
    )
