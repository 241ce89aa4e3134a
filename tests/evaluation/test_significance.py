import numpy as np
import pytest
from scipy.stats import chi2

from tasks.evaluation import significance
from tasks.evaluation.selection_metric import RANKING, measure
from tasks.evaluation.significance import compare, compare_metric


def answers(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    """Return the probabilities of a classifier, which lean towards the true labels: (n,) float32."""
    logits = skill * (2 * labels - 1) + rng.normal(size=len(labels))
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def test_classifiers_are_compared_on_texts_that_only_one_gets_right():
    labels = np.array([1, 1, 1, 1, 0, 0])
    first, second = np.array([1, 1, 1, 1, 0, 1]), np.array([1, 0, 0, 0, 0, 0])
    compared = compare(labels, first, second)
    assert (compared["only_first"], compared["only_second"]) == (3, 1)
    assert compared["difference"] == pytest.approx(2 / 6)
    # Of 4 disputed texts 3 or more, or 1 or fewer, favour one classifier: (4 + 1 + 4 + 1) / 16 of all outcomes.
    assert compared["p_value"] == pytest.approx(10 / 16)
    assert compare(labels, second, first)["p_value"] == compared["p_value"]
    alike = compare(labels, first, first)
    assert (alike["difference"], alike["only_first"], alike["only_second"], alike["p_value"]) == (0, 0, 0, 1)
    assert alike["ci95"][0] == -alike["ci95"][1] < 0


def test_the_exact_test_agrees_with_mcnemars_chi_squared_on_many_texts(rng):
    labels = rng.integers(0, 2, 20_000)
    first = np.where(rng.random(20_000) < 0.86, labels, 1 - labels)
    second = np.where(rng.random(20_000) < 0.85, labels, 1 - labels)
    compared = compare(labels, first, second)
    one, other = compared["only_first"], compared["only_second"]
    statistic = (abs(one - other) - 1) ** 2 / (one + other)  # with the correction for continuity
    assert compared["p_value"] == pytest.approx(chi2.sf(statistic, 1), rel=0.02)


@pytest.fixture
def few_rounds(monkeypatch):
    monkeypatch.setattr(significance, "ROUNDS", 199)


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


@pytest.mark.parametrize("metric", ["f1_macro", "roc_auc", "average_precision"])
def test_many_texts_and_labels_are_compared_in_fewer_rounds(metric, rng, monkeypatch):
    calls = []
    monkeypatch.setattr(significance, "FEW_ROUNDS", 20)
    monkeypatch.setattr(significance, "MAX_WORK", 40_000)
    monkeypatch.setattr(significance, "measure", lambda *these: calls.append(these) or measure(*these))
    for count, rounds in ((3, 33), (10, 20)):
        labels = np.arange(400) % count
        first, second = (rng.dirichlet(np.ones(count), 400) + skill * np.eye(count)[labels] for skill in (0.5, 0.1))
        calls.clear()
        both = np.stack([first, second])
        found = compare_metric(metric, labels, both.argmax(axis=2), both)
        assert len(calls) == 2 * (1 + 2 * rounds)
        assert found["p_value"] < 1e-6
        assert 0 < found["ci95"][0] < found["difference"] < found["ci95"][1]
        is_ranked = np.issubdtype(calls[0][-1].dtype, np.integer)
        assert is_ranked == (metric in RANKING), "the texts are sorted once, not in each round"


def test_the_false_positive_rate_of_equal_classifiers_is_about_alpha(rng, monkeypatch):
    monkeypatch.setattr(significance, "ROUNDS", 59)
    p_values = []
    for _ in range(150):
        labels = np.concatenate([[0, 1], rng.integers(0, 2, 58)])
        p_values.append(compare_two("f1_macro", labels, *(answers(rng, labels, 0.8) for _ in range(2)))["p_value"])
    assert np.mean(np.array(p_values) <= 0.1) <= 0.18
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.12)
