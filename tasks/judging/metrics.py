"""Judging: labels and probabilities to the numbers that people compare, and two classifiers on the same reviews."""

import itertools
import math
from typing import Any

import numpy as np

from tasks.core.settings import JudgingSettings
from tasks.judging.scores import Scores

# scikit-learn and SciPy are imported inside the functions that need them: a cached run never pays for them.

METRICS = "metrics.json"
# What `judge_scores` returns that is one number.
NUMBERS = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier", "ece")
Z_95 = 1.959963984540054  # the normal distribution's 97.5% quantile
LENGTH_EDGES = (0, 64, 128, 192, 256, 512, 1024)


def judge_scores(its: Scores, settings: JudgingSettings) -> dict[str, Any]:
    """Return how well probabilities tell positive from negative reviews.

    Args:
        its: n scores; both labels are present.
        settings: the threshold, and the bins of the calibration error.

    Returns:
        accuracy, precision, recall, f1, roc_auc, log_loss, brier, ece; ci95, the accuracy's interval; confusion,
        [[true negatives, false positives], [false negatives, true positives]].
    """
    from sklearn import metrics

    labels, scores, predicted = its.labels, its.probabilities.astype(np.float64), its.verdicts(settings.threshold)
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "precision": metrics.precision_score(labels, predicted, zero_division=0.0),
        "recall": metrics.recall_score(labels, predicted),
        "f1": metrics.f1_score(labels, predicted),
        "roc_auc": metrics.roc_auc_score(labels, scores),
        "log_loss": metrics.log_loss(labels, scores),
        "brier": metrics.brier_score_loss(labels, scores),
        "ece": expected_calibration_error(labels, scores, settings.calibration_bins),
        "ci95": wilson_interval(int((labels == predicted).sum()), len(labels)),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=[0, 1]).tolist(),
    }


def bin_of(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Return in which of `bins` bins of equal width, from 0, each probability falls: (n,) int64."""
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    """Return the mean gap between probability and share of positive reviews, weighted by bin.

    ECE = sum over bins of (n_bin / n) * |mean(labels) - mean(probabilities)|, with bins of equal width, as in
    Naeini, Cooper and Hauskrecht (2015) for binary classifiers.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) in 0 to 1.
        bins: their number.
    """
    gaps = np.bincount(bin_of(probabilities, bins), weights=labels - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def wilson_interval(right: int, reviews: int) -> list[float]:
    """Return the 95% interval of an accuracy: [low, high], within 0 and 1, and around the accuracy.

    The shares p that |share - p| <= z * sqrt(p * (1 - p) / n) leaves possible (Wilson, 1927). Unlike the bootstrap's
    and Wald's intervals it does not shrink to a point where every answer is right.

    Args:
        right: how many answers are right.
        reviews: how many there are, n; at least 1.
    """
    share, shrink = right / reviews, Z_95**2 / reviews
    centre = (share + shrink / 2) / (1 + shrink)
    reach = math.sqrt(shrink * share * (1 - share) + shrink**2 / 4) / (1 + shrink)
    # Where all answers are right, or none, rounding would put the accuracy a hair outside.
    return [min(max(centre - reach, 0.0), share), max(min(centre + reach, 1.0), share)]


def accuracy_by_length(scores: Scores, lengths: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """Return the accuracy of short and long reviews apart.

    Args:
        scores: of n reviews.
        lengths: (n,) words kept.
        threshold: probability from which a review counts as positive.

    Returns:
        One entry for each range that has reviews: {"from", "to": words, the latter included, "reviews", "accuracy",
        "ci95"}.
    """
    is_right = scores.labels == scores.verdicts(threshold)
    edges = [*(edge for edge in LENGTH_EDGES if edge < lengths.max()), int(lengths.max())]
    rows = []
    for low, high in itertools.pairwise(edges):
        inside = (lengths > low) & (lengths <= high) if low else lengths <= high
        if inside.any():
            rows.append(
                {
                    "from": low + 1,
                    "to": high,
                    "reviews": int(inside.sum()),
                    "accuracy": float(is_right[inside].mean()),
                    "ci95": wilson_interval(int(is_right[inside].sum()), int(inside.sum())),
                }
            )
    return rows


def compare(labels: np.ndarray, predicted: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Return how the verdicts of one classifier compare with another's on the same reviews.

    The p-value is of McNemar's exact test (McNemar, 1947; a two-sided binomial test of the reviews on which one
    alone is right): how likely so uneven a share of them is, if both were equally good.

    Args:
        labels: (n,) 0 or 1.
        predicted: (n,) 0 or 1, the first classifier's verdicts.
        other: (n,) 0 or 1, the second's.

    Returns:
        difference, first accuracy minus second; only_first and only_second, the reviews that one alone got right;
        p_value.
    """
    from scipy.stats import binomtest

    first, second = predicted == labels, other == labels
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    disputed = only_first + only_second
    return {
        "difference": float(first.mean() - second.mean()),
        "only_first": only_first,
        "only_second": only_second,
        "p_value": float(binomtest(only_first, disputed).pvalue) if disputed else 1.0,
    }
