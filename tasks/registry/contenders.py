"""Contenders: registered versions with their scores, and the champion's scores of its challenger's test texts."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.core.errors import ModelError, RegistryError
from tasks.core.settings import Metric, ThresholdSettings
from tasks.evaluation.metrics import compare_scores
from tasks.evaluation.scores import HeldOutScores, decide_labels, decision_rule, look_up, read_held_out
from tasks.network.bundle import Classifier, open_onnx
from tasks.registry.contest import Contest
from tasks.registry.loading import described, load_version
from tasks.registry.versions import EVALUATION, Models
from tasks.texts.downloaded import iterate_texts

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from tasks.registry.local_database import OwnVersion


class NotComparable(Exception):
    """Two models cannot be compared on the same texts; the message is the end of a sentence that says why."""


@dataclass(frozen=True)
class Contender:
    """A version and its scores of its test texts."""

    version: "ModelVersion | OwnVersion"
    held_out: HeldOutScores

    @property
    def number(self) -> int:
        """The version's number."""
        return int(self.version.version)

    @property
    def labels(self) -> list[str]:
        """The name of each label, from label 0 on."""
        names: list[str] = json.loads(self.version.tags["labels"])
        return names

    @property
    def accuracy(self) -> float:
        """On its own test texts."""
        return float((self.verdicts(self.held_out.scores.probabilities) == self.held_out.scores.labels).mean())

    @property
    def is_trial(self) -> bool:
        """Whether it was trained on a part of the texts only."""
        return bool(self.version.tags["trial"] == "true")

    def verdicts(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the label of each text, by the model's own costs or threshold."""
        cost = json.loads(self.version.tags.get("cost", "[]"))  # earlier versions lack this tag
        own = {"cost": cost} if cost else {"threshold": float(self.version.tags["threshold"])}
        return decide_labels(probabilities, decision_rule(ThresholdSettings(**own), self.labels))

    def answers_as(self, labels: list[str], probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `verdicts`, numbered as in another model's list of labels, and the probabilities of that list.

        Raises:
            NotComparable: it has a label that the other does not have.
        """
        if others := sorted(set(self.labels) - set(labels)):
            raise NotComparable(f"the champion has labels that no longer exist ({', '.join(others)})")
        numbers = np.array([labels.index(name) for name in self.labels])
        placed = np.zeros((len(probabilities), len(labels)), np.float32)
        placed[:, numbers] = (
            probabilities if probabilities.ndim == 2 else np.stack([1 - probabilities, probabilities], 1)
        )
        return numbers[self.verdicts(probabilities)], placed[:, 1] if len(labels) == 2 else placed


def read_contender(client: Models, version: "ModelVersion | OwnVersion") -> Contender:
    """Read a version's scores from its MLflow run.

    Raises:
        NotComparable: they are no longer there.
    """
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = client.download_artifacts(str(version.run_id), EVALUATION, scratch)
            return Contender(version, read_held_out(Path(folder)))
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        reason = f"the scores of version {version.version} are no longer in MLflow ({error})"
        raise NotComparable(reason) from error


def predict_reviews(classifier: Classifier, downloaded: Path, reviews: np.ndarray) -> np.ndarray:
    """Return a classifier's probabilities of test texts of a download: (n,) or (n, labels) float32.

    `reviews` has the hashes of the texts, (n,) uint64.

    Raises:
        NotComparable: the download has no texts, or lacks some of these.
    """
    known, found = [], []
    for hashes, texts in iterate_texts(downloaded, "test"):
        if texts is None:
            raise NotComparable("its test texts came without a word index, so their words are not known")
        chosen = np.isin(hashes, reviews)
        known.append(hashes[chosen])
        found.append(classifier.predict(texts.filter(pa.array(chosen))))
    probabilities = look_up(reviews, np.concatenate(known), np.concatenate(found)) if known else None
    if probabilities is None:
        raise NotComparable("its test texts are not those that were downloaded")
    return probabilities


def hold_contest(
    client: Models,
    uri: str | None,
    challenger: Contender,
    champion: "ModelVersion | OwnVersion",
    downloaded: Path,
    metric: Metric | None = None,
) -> Contest:
    """Compare a challenger with the champion on its test texts, except those that the champion was trained on.

    If all of them are test texts of the champion, too, its scores are known; otherwise it scores them now.
    `downloaded` is the folder of the challenger's download; `metric` is by default the accuracy.

    Raises:
        NotComparable: there are no texts on which both can be compared.
    """
    holder = read_contender(client, champion)
    mine = challenger.held_out
    fresh = ~np.isin(mine.reviews.tested, holder.held_out.reviews.learnt)
    reviews = mine.reviews.tested[fresh]
    if not len(reviews):
        raise NotComparable("the champion was trained on all of its test texts")
    probabilities = look_up(reviews, holder.held_out.reviews.tested, holder.held_out.scores.probabilities)
    if probabilities is None:
        try:
            classifier = load_version(described(champion), uri, open_onnx)
        except (ModelError, RegistryError) as error:
            raise NotComparable(f"the champion cannot be loaded ({error})") from error
        probabilities = predict_reviews(classifier, downloaded, reviews)
    defending, shares = holder.answers_as(challenger.labels, probabilities)
    labels, mine_shares = mine.scores.labels[fresh], mine.scores.probabilities[fresh]
    verdicts, both = np.stack([challenger.verdicts(mine_shares), defending]), np.stack([mine_shares, shares])
    return Contest(
        challenger=challenger.number,
        champion=holder.number,
        reviews=len(reviews),
        left_out=int((~fresh).sum()),
        compared=compare_scores(metric, labels, verdicts, both, one_sided=True),
    )
