import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.run_settings import MetricsSettings
from tasks.evaluation.metrics import (
    accuracy_by_length,
    calibration_error,
    find_confidence_threshold,
    measure_answers,
    measure_scores,
    wilson_interval,
)
from tasks.evaluation.predictions import Scores

NAMES, SETTINGS = ("bad", "good"), MetricsSettings()


def test_binary_metrics_match_a_hand_calculation():
    labels = np.array([1, 1, 1, 0, 0])
    judged = measure_scores(Scores(labels, np.array([0.9, 0.8, 0.3, 0.6, 0.1], np.float32)), NAMES, SETTINGS)
    assert judged["accuracy"] == pytest.approx(3 / 5)
    assert judged["precision"] == pytest.approx(2 / 3)
    assert judged["recall"] == pytest.approx(2 / 3)
    assert judged["f1"] == pytest.approx(2 / 3)
    assert judged["confusion"] == [[1, 1], [1, 2]]
    assert judged["roc_auc"] == pytest.approx(5 / 6)
    assert judged["brier"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.36 + 0.01) / 5)
    assert judged["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.4, 0.9]).mean())
    assert judged["ci95"][0] <= judged["accuracy"] <= judged["ci95"][1]


def test_precision_recall_and_f1_are_zero_without_positive_predictions():
    judged = measure_scores(Scores(np.array([0, 1]), np.array([0.1, 0.2])), NAMES, SETTINGS)
    assert (judged["precision"], judged["recall"], judged["f1"]) == (0, 0, 0)


def test_accuracy_uses_the_threshold_of_the_settings():
    scores = Scores(np.array([0, 1]), np.array([0.4, 0.45]))
    assert measure_scores(scores, NAMES, SETTINGS)["accuracy"] == 0.5
    assert measure_scores(scores, NAMES, MetricsSettings(threshold=0.42))["accuracy"] == 1


def test_multiclass_metrics_match_a_hand_calculation():
    labels = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]], np.float32)
    judged = measure_scores(Scores(labels, probabilities), ("calm", "glad", "sad"), MetricsSettings(calibration_bins=2))
    assert judged["accuracy"] == pytest.approx(3 / 4)
    assert judged["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert judged["precision"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert judged["recall"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert judged["weighted"]["recall"] == pytest.approx(3 / 4)
    assert judged["log_loss"] == pytest.approx(-np.log([0.8, 0.3, 0.7, 0.7]).mean(), abs=1e-6)
    sums = [0.04 + 0.01 + 0.01, 0.49 + 0.36 + 0.01, 0.04 + 0.09 + 0.01, 0.01 + 0.04 + 0.09]
    assert judged["brier"] == pytest.approx(np.mean(sums), abs=1e-6)
    # The texts of each label have the highest probabilities of that label.
    assert judged["roc_auc"] == pytest.approx(1)
    # All four predictions have a probability above one half: 3 of 4 are right, at 0.7 on average.
    assert judged["ece"] == pytest.approx(0.75 - (0.8 + 0.6 + 0.7 + 0.7) / 4, abs=1e-6)
    assert [its["support"] for its in judged["by_label"]] == [2, 1, 1]
    assert judged["by_label"][1] == {
        "label": "glad",
        "support": 1,
        "precision": 0.5,
        "recall": 1,
        "f1": pytest.approx(2 / 3),
    }


def test_calibration_error_is_the_weighted_mean_gap_of_the_bins():
    labels = np.array([1, 0, 1, 1])
    probabilities = np.array([0.2, 0.2, 0.9, 1.0])
    assert calibration_error(labels, probabilities, 2) == pytest.approx((0.5 * abs(0.5 - 0.2)) + 0.5 * 0.05)
    assert calibration_error(labels, labels.astype(float), 10) == 0


def test_the_wilson_interval_matches_published_values():
    # Newcombe (1998), table I: 81 of 263, and 0 of 20; of five texts, all correct, the interval is wide.
    assert wilson_interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx([0, 0.1611], abs=5e-5)
    assert wilson_interval(5, 5) == pytest.approx([0.5655, 1.0], abs=5e-5)


@given(st.integers(1, 30_000).flatmap(lambda reviews: st.tuples(st.sampled_from((0, reviews)), st.just(reviews))))
def test_the_interval_contains_an_accuracy_of_zero_or_one(counts):
    right, reviews = counts
    low, high = wilson_interval(right, reviews)
    assert 0 <= low <= right / reviews <= high <= 1


def test_the_interval_narrows_with_more_texts():
    few, many = (np.diff(wilson_interval(round(0.8 * n), n))[0] for n in (100, 10_000))
    assert many < few / 5
    # The normal approximation: 2 * 1.96 * sqrt(0.8 * 0.2 / 10,000) = 0.0157
    assert many == pytest.approx(0.0157, rel=0.01)


def test_the_interval_has_about_95_percent_coverage(rng):
    for share in (0.5, 0.85, 0.98):
        right = rng.binomial(200, share, 2000)
        bounds = np.array([wilson_interval(int(count), 200) for count in right])
        covered = ((bounds[:, 0] <= share) & (share <= bounds[:, 1])).mean()
        assert 0.92 <= covered <= 0.98, share


def test_accuracy_by_length_counts_every_text_once(rng):
    lengths = rng.integers(0, 257, 500)
    rows = accuracy_by_length(Scores(rng.integers(0, 2, 500), rng.random(500)), lengths, 0.5)
    assert sum(row["reviews"] for row in rows) == 500
    assert [row["from"] for row in rows] == [1, 65, 129, 193]
    assert rows[-1]["to"] == lengths.max()
    assert all(row["ci95"][0] < row["accuracy"] < row["ci95"][1] for row in rows)


def test_the_error_of_answered_texts_rarely_exceeds_the_limit(rng):
    def draw(count: int) -> Scores:
        probabilities = rng.beta(0.3, 0.3, count)
        return Scores((rng.random(count) < probabilities).astype(np.int8), probabilities.astype(np.float32))

    new = draw(100_000)
    found = [measure_answers(new, 0.5, find_confidence_threshold(draw(500), 0.5, 0.05)) for _ in range(200)]
    errors = np.array([each["error"] or 0 for each in found])
    assert (errors > 0.05).mean() <= 0.05
    assert np.mean([each["unanswered"] for each in found]) < 0.6  # with the true probabilities it would be 0.42


def test_no_text_is_answered_if_too_few_texts_support_the_limit():
    few = Scores(np.array([0, 1] * 20), np.array([0.1, 0.9] * 20, np.float32))
    assert find_confidence_threshold(few, 0.5, 0.02) == 1
    assert measure_answers(few, 0.5, 1.0) == {"confidence_threshold": 1.0, "unanswered": 1.0, "error": None}
    many = Scores(np.repeat(few.labels, 20), np.repeat(few.probabilities, 20))
    assert find_confidence_threshold(many, 0.5, 0.02) == 0
