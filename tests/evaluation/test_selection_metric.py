from typing import get_args

import numpy as np
import pytest
from sklearn import metrics

from tasks.core.run_settings import Metric
from tasks.evaluation.predictions import Scores
from tasks.evaluation.selection_metric import RANKING, as_cost, measure


def answers(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    """Return the probabilities of a classifier, which lean towards the true labels: (n,) float32."""
    logits = skill * (2 * labels - 1) + rng.normal(size=len(labels))
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_each_metric_matches_scikit_learn(metric, rng):
    judge = {
        "f1_macro": lambda labels, verdicts: metrics.f1_score(labels, verdicts, average="macro"),
        "mcc": metrics.matthews_corrcoef,
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
    }
    labels = np.concatenate([np.arange(3), rng.integers(0, 3, 200)]).astype(np.int8)
    shares = [rng.multinomial(17, (1 + np.eye(3)[label]) / 4) for label in labels]
    many = ((1 + np.array(shares)) / 20).astype(np.float32)  # with ties
    one_against_rest = {"roc_auc": metrics.roc_auc_score, "average_precision": metrics.average_precision_score}
    for probabilities, these in ((many, labels), (many[:, 1], (labels == 1).astype(np.int8))):
        verdicts = Scores(these, probabilities).verdicts(0.5)
        if metric in judge:
            expected = judge[metric](these, verdicts)
        elif metric == "f1":
            expected = metrics.f1_score(these, verdicts, average="macro" if probabilities.ndim == 2 else "binary")
        elif metric == "log_loss":
            expected = metrics.log_loss(these, probabilities)
        elif probabilities.ndim == 2:
            expected = np.mean([one_against_rest[metric](these == label, many[:, label]) for label in range(3)])
        else:
            expected = one_against_rest[metric](these, probabilities)
        assert measure(metric, these, verdicts, probabilities) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", RANKING)
def test_ranks_are_measured_like_the_probabilities_but_not_sorted(metric, rng, monkeypatch):
    labels, probabilities = rng.integers(0, 3, 300), rng.integers(1, 40, (300, 3)) / 40
    expected = measure(metric, labels, labels, probabilities)
    for name in ("sort", "argsort", "unique"):
        monkeypatch.setattr(np, name, None)
    assert measure(metric, labels, labels, (40 * probabilities).round().astype(np.int32)) == expected


def test_f1_and_mcc_are_zero_without_positive_predictions():
    labels, verdicts = np.array([0, 0, 1]), np.array([0, 0, 0])
    assert measure("f1", labels, verdicts, np.array([0.1, 0.2, 0.3])) == 0
    assert measure("mcc", labels, verdicts, np.array([0.1, 0.2, 0.3])) == 0


@pytest.mark.parametrize("metric", get_args(Metric))
def test_better_predictions_have_a_lower_cost(metric):
    labels = np.array([0, 0, 1, 1])
    better, worse = (
        as_cost(metric, measure(metric, labels, (its > 0.5).astype(np.int8), its))
        for its in (np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.1, 0.8, 0.2, 0.9]))
    )
    assert better < worse
