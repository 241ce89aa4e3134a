from typing import get_args

import numpy as np
import pytest
from sklearn import metrics

from tasks.core.run_settings import Metric
from tasks.evaluation import significance
from tasks.evaluation.predictions import Scores
from tasks.evaluation.selection_metric import as_cost, measure
from tasks.evaluation.significance import compare_metric


def answers(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    """Return the probabilities of a classifier, which lean towards the true labels: (n,) float32."""
    logits = skill * (2 * labels - 1) + rng.normal(size=len(labels))
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


@pytest.fixture
def few_rounds(monkeypatch):
    monkeypatch.setattr(significance, "ROUNDS", 199)


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


def test_f1_and_mcc_are_zero_without_positive_predictions():
    labels, verdicts = np.array([0, 0, 1]), np.array([0, 0, 0])
    assert measure("f1", labels, verdicts, np.array([0.1, 0.2, 0.3])) == 0
    assert measure("mcc", labels, verdicts, np.array([0.1, 0.2, 0.3])) == 0
    assert as_cost("f1", 0.25) == -0.25
    assert as_cost("log_loss", 0.25) == 0.25


def compare_two(metric, labels, first, second, **options):
    both = np.stack([first, second])
    return compare_metric(metric, labels, (both >= 0.5).astype(np.int8), both, **options)


@pytest.mark.parametrize("metric", ["f1_macro", "log_loss", "roc_auc", "mcc"])
def test_a_better_classifier_is_significant_and_an_identical_one_is_not(metric, rng, few_rounds):
    labels = rng.integers(0, 2, 400)
    good, weak = answers(rng, labels, 1.5), answers(rng, labels, 0.3)
    found = compare_two(metric, labels, good, weak)
    low, high = found["ci95"]
    assert 0 < low < found["difference"] < high
    assert 0 < found["p_value"] < 1e-6, "the number of swaps does not limit the p-value"
    assert compare_two(metric, labels, weak, good, one_sided=True)["p_value"] == 1
    alike = compare_two(metric, labels, good, good)
    assert (alike["difference"], alike["p_value"], alike["ci95"]) == (0, 1, [0, 0])
    assert compare_two(metric, labels, good, weak) == found, "the same seed draws the same texts"


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_ranking_metrics_ignore_the_level_of_the_probabilities(metric, rng, few_rounds):
    labels = rng.integers(0, 2, 600)
    weak = answers(rng, labels, 0.6)
    logits = np.log(weak / (1 - weak)) + 0.5 * (2 * labels - 1)
    level, higher = (1 / (1 + np.exp(-(logits + shift))) for shift in (0, 3))
    found = [compare_two(metric, labels, better.astype(np.float64), weak) for better in (level, higher)]
    assert found[0]["difference"] == pytest.approx(found[1]["difference"])
    assert max(its["p_value"] for its in found) < 0.001


def test_the_false_positive_rate_of_equal_classifiers_is_about_alpha(rng, monkeypatch):
    monkeypatch.setattr(significance, "ROUNDS", 59)
    p_values = []
    for _ in range(150):
        labels = np.concatenate([[0, 1], rng.integers(0, 2, 58)])
        p_values.append(compare_two("f1_macro", labels, *(answers(rng, labels, 0.8) for _ in range(2)))["p_value"])
    assert np.mean(np.array(p_values) <= 0.1) <= 0.18
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.12)
