"""Contest: a challenger against the champion on the same test texts, with few promotions by chance."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.errors import ModelError, RegistryError
from tasks.core.run_settings import Metric, PromotionSettings, ThresholdSettings
from tasks.evaluation.predictions import Scores, by_label, decide_labels, decision_rule, read_scores, write_scores
from tasks.evaluation.selection_metric import as_cost, measure, measure_constant, missing_labels, show_leads
from tasks.evaluation.significance import compare_scores
from tasks.network.bundle import Classifier, open_onnx
from tasks.registry.loading import described, load_version
from tasks.registry.versions import CHALLENGER, CHAMPION, EVALUATION, Decision
from tasks.texts.downloaded import Identities, iterate_texts

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True)
class Contest:
    """Two versions on the same texts, with any number of labels.

    Attributes:
        left_out: how many of the challenger's test texts the champion was trained on; they are not compared.
        compared: the result of `compare_scores`, one-sided, with the challenger first.
    """

    challenger: int
    champion: int
    reviews: int
    left_out: int
    compared: dict[str, Any]


def share_of_alpha(alpha: float, attempt: int | np.ndarray) -> Any:
    """Return the level at which the k-th attempt, from 1, is tested: alpha / (k (k + 1)).

    All levels add up to alpha, so a champion is replaced by chance with at most this probability, however many
    challengers there are (alpha spending: Lan and DeMets, 1983).
    """
    return alpha / (attempt * (attempt + 1))


def decide(contest: Contest, attempt: int, settings: PromotionSettings) -> Decision:
    """Make the challenger the champion if it wins the paired test at the share of alpha of this attempt, from 1."""
    compared, level = contest.compared, share_of_alpha(settings.alpha, attempt)
    unit, lead, low, high = show_leads(compared["metric"], compared["difference"], *compared["ci95"])
    is_better = compared["difference"] > 0 and compared["p_value"] < level
    verdict = "better than the champion before it" if is_better else "not significantly better than the champion"
    return Decision(
        decision=CHAMPION if is_better else CHALLENGER,
        reason=f"Version {contest.challenger} is {verdict}, version {contest.champion}: "
        f"{lead} {unit} (95% interval {low} to {high}) on {contest.reviews:,} texts, p = {compared['p_value']:.3g}, "
        f"required below {level:.3g} (challenger {attempt} of this champion).",
        against=contest.champion,
        attempt=attempt,
        reviews=contest.reviews,
        left_out=contest.left_out,
        **compared,
        level=level,
    )


def count_attempts(decisions: list[Decision], champion: int, reviews: int) -> int:
    """Return how many challengers were tested against a champion on much the same test texts.

    Test texts grow with the data. Those of earlier contests count as the same while they are at least half as many as
    now: adding one a night does not restart the count, and new ones that outnumber the old ones do.

    `decisions` are those on all other versions; `reviews` is the number of test texts now.
    """
    return sum(
        decision.against == champion and decision.reviews is not None and 2 * decision.reviews >= reviews
        for decision in decisions
    )


class NotComparable(Exception):
    """Two models cannot be compared on the same texts; the message is the end of a sentence that says why."""


@dataclass(frozen=True)
class Contender:
    """A version, its scores of its test texts, and the identities of its texts."""

    version: "ModelVersion"
    scores: Scores
    reviews: Identities

    @property
    def number(self) -> int:
        """The version's number."""
        return int(self.version.version)

    @property
    def labels(self) -> list[str]:
        """The name of each label, from label 0 on."""
        names: list[str] = json.loads(self.version.tags["labels"])
        return names

    def measure(self, metric: Metric) -> float:
        """Return a metric of its own test texts."""
        shares = self.scores.probabilities
        return measure(metric, self.scores.labels, self.verdicts(shares), shares)

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
            raise NotComparable(
                f"the champion has labels that no longer exist ({', '.join(others)}); register models of other texts "
                "under another name (--tracking.registered-model NAME)"
            )
        numbers = np.array([labels.index(name) for name in self.labels])
        placed = np.zeros((len(probabilities), len(labels)), np.float32)
        placed[:, numbers] = by_label(probabilities)
        return numbers[self.verdicts(probabilities)], placed[:, 1] if len(labels) == 2 else placed


def reason_to_refuse(its: Contender, metric: Metric | None, settings: PromotionSettings) -> str | None:
    """Return why a version may be neither champion nor challenger, or None; `metric` is by default the accuracy."""
    if its.is_trial:
        return f"Version {its.number} was trained on a part of the texts (data.max_reviews), so it is not promoted."
    accuracy, metric = its.measure("accuracy"), metric or "accuracy"
    if settings.min_accuracy is not None and accuracy < settings.min_accuracy:
        return (
            f"Version {its.number} has a test accuracy of {accuracy:.4f}; a champion must have "
            f"{settings.min_accuracy} (promotion.min_accuracy)."
        )
    value, constant = its.measure(metric), measure_constant(metric, its.scores.labels, len(its.labels))
    if as_cost(metric, value) >= as_cost(metric, constant):
        return (
            f"Version {its.number} has a test {metric} of {value:.4f}; the same prediction for every text has "
            f"{constant:.4f}, and a champion must be better. Give more texts of rare labels, try another "
            "--evaluation.metric (f1_macro counts all labels alike), or promote it by hand."
        )
    return None


def read_contender(client: "MlflowClient", version: "ModelVersion") -> Contender:
    """Read a version's scores from its MLflow run; raise NotComparable if they are no longer there."""
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = client.download_artifacts(str(version.run_id), EVALUATION, scratch)
            return Contender(version, *read_held_out(Path(folder)))
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        reason = f"the scores of version {version.version} are no longer in MLflow ({error})"
        raise NotComparable(reason) from error


def predict_reviews(classifier: Classifier, downloaded: Path, reviews: np.ndarray) -> np.ndarray:
    """Return a classifier's probabilities of test texts of a download: (n,) or (n, labels) float32.

    `reviews` has their hashes, (n,) uint64. Raise NotComparable if the download has no texts, or lacks some of these.
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


def require_labels(labels: np.ndarray, names: list[str], metric: Metric | None) -> None:
    """Raise NotComparable if the metric is not defined on texts with these (n,) labels."""
    if absent := missing_labels(metric, labels, len(names)):
        named = ", ".join(names[label] for label in absent)
        raise NotComparable(f"{metric} needs texts of each label, and none of those to compare is labelled {named}")


def hold_contest(
    client: "MlflowClient",
    uri: str | None,
    challenger: Contender,
    champion: "ModelVersion",
    downloaded: Path,
    metric: Metric | None = None,
) -> Contest:
    """Compare a challenger with the champion on its test texts, except those that the champion was trained on.

    The champion's known scores are used if they cover these texts; otherwise it scores them now, from `downloaded`.
    `metric` is by default the accuracy. Raise NotComparable if there are no texts on which both can be compared.
    """
    holder = read_contender(client, champion)
    fresh = ~np.isin(challenger.reviews.tested, holder.reviews.learnt)
    reviews = challenger.reviews.tested[fresh]
    if not len(reviews):
        raise NotComparable("the champion was trained on all of its test texts")
    probabilities = look_up(reviews, holder.reviews.tested, holder.scores.probabilities)
    if probabilities is None:
        try:
            classifier = load_version(described(champion), uri, open_onnx)
        except (ModelError, RegistryError) as error:
            raise NotComparable(f"the champion cannot be loaded ({error})") from error
        probabilities = predict_reviews(classifier, downloaded, reviews)
    defending, shares = holder.answers_as(challenger.labels, probabilities)
    labels, mine_shares = challenger.scores.labels[fresh], challenger.scores.probabilities[fresh]
    require_labels(labels, challenger.labels, metric)
    verdicts, both = np.stack([challenger.verdicts(mine_shares), defending]), np.stack([mine_shares, shares])
    return Contest(
        challenger=challenger.number,
        champion=holder.number,
        reviews=len(reviews),
        left_out=int((~fresh).sum()),
        compared=compare_scores(metric, labels, verdicts, both, one_sided=True),
    )


HELD_OUT = ("test.parquet", "learnt.parquet")


def write_held_out(folder: Path, scores: Scores, reviews: Identities) -> None:
    """Write the scores of the test reviews and the identities of all reviews that were trained on: `HELD_OUT`."""
    write_scores(folder, "test", scores, review=reviews.tested)
    pq.write_table(pa.table({"review": reviews.learnt}), folder / HELD_OUT[1], compression="zstd")


def read_held_out(folder: Path) -> tuple[Scores, Identities]:
    """Read the scores of the test reviews and their identities."""
    tested, learnt = (pq.read_table(folder / name, columns=["review"])["review"].to_numpy() for name in HELD_OUT)
    return read_scores(folder, "test"), Identities(tested, learnt)


def look_up(reviews: np.ndarray, known: np.ndarray, probabilities: np.ndarray) -> np.ndarray | None:
    """Return the probabilities of `reviews`, (n,) uint64, or None if one of them is not known.

    `known` are (m,) uint64 in any order, `probabilities` (m,) or (m, labels) of these.
    """
    places = pc.index_in(pa.array(reviews), pa.array(known))
    if places.null_count:
        return None
    found: np.ndarray = probabilities[places.to_numpy()]
    return found
