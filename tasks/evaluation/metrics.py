"""Judging: labels and probabilities to the numbers that people compare, and two classifiers on the same reviews."""

import itertools
import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np

from tasks.core.settings import MetricsSettings
from tasks.evaluation.scores import Scores
from tasks.texts.slices import Slices

# scikit-learn and SciPy are imported inside the functions that need them: a cached run never pays for them.

# What `judge_scores` returns that is one number.
NUMBERS = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier", "ece")
HEADLINES = NUMBERS[:6]  # those that stand where there is little room
Z_95 = 1.959963984540054  # the normal distribution's 97.5% quantile
MEANS = ("precision", "recall", "f1")
LENGTH_EDGES = (0, 64, 128, 192, 256, 512, 1024)


def measure_scores(scored: Scores, names: Sequence[str], settings: MetricsSettings) -> dict[str, Any]:
    """Return how well probabilities tell the labels apart.

    All numbers are scikit-learn's but ece and ci95. Of two labels, precision, recall, f1, roc_auc, brier and ece are of
    label 1. Of more, precision, recall and f1 are means over the labels (macro), roc_auc is the mean over the labels of
    each against the rest (Provost and Domingos, 2001, unweighted), brier the sum over labels (Brier, 1950), and ece is
    of the most probable label (Guo et al., 2017).

    Args:
        scored: n scores; every label is present.
        names: of the labels.
        settings: the threshold, and the bins of the calibration error.

    Returns:
        accuracy, precision, recall, f1, roc_auc, log_loss, brier, ece; ci95, the accuracy's interval; confusion, a row
        a label and a column a verdict; by_label, for each label its name as "label", "support", "precision", "recall"
        and "f1"; of more than two labels "weighted", the means of precision, recall and f1 by support.
    """
    from sklearn import metrics

    labels, scores = scored.labels, scored.probabilities.astype(np.float64)
    predicted = scored.verdicts(settings.threshold)
    if scores.ndim == 2:
        scores /= scores.sum(axis=1, keepdims=True)  # single precision adds up to 1 but nearly
    numbers = np.arange(len(names))
    each = metrics.precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0.0)
    by_label = [
        {"label": name, "support": int(support), "precision": float(p), "recall": float(r), "f1": float(f)}
        for name, p, r, f, support in zip(names, *each, strict=True)
    ]
    judged = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "log_loss": metrics.log_loss(labels, scores, labels=numbers),
        "ci95": wilson_interval(int((labels == predicted).sum()), len(labels)),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
        "by_label": by_label,
    }
    if len(names) == 2:
        its_own = {name: by_label[1][name] for name in MEANS} | judge_positives(labels, scores)
        hits, certain = labels, scores
    else:
        its_own = average_labels(labels, predicted, len(names)) | judge_shares(labels, scores)
        hits, certain = labels == predicted, scores.max(axis=1)
    return judged | its_own | {"ece": expected_calibration_error(hits, certain, settings.calibration_bins)}


def judge_positives(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return roc_auc and brier of two labels, from the labels and the probabilities of label 1: both (n,)."""
    from sklearn import metrics

    return {"roc_auc": metrics.roc_auc_score(labels, scores), "brier": metrics.brier_score_loss(labels, scores)}


def judge_shares(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return roc_auc and brier of more labels than two, from the labels (n,) and their probabilities (n, labels)."""
    from sklearn import metrics

    numbers = np.arange(scores.shape[1])
    return {
        "roc_auc": mean([metrics.roc_auc_score(labels == label, scores[:, label]) for label in numbers]),
        "brier": metrics.brier_score_loss(labels, scores, labels=numbers, scale_by_half=False),
    }


def average_labels(labels: np.ndarray, predicted: np.ndarray, count: int) -> dict[str, Any]:
    """Return precision, recall and f1 as means over `count` labels, and as "weighted" those by support."""
    from sklearn import metrics

    macro, weighted = (
        dict(
            zip(
                MEANS,
                metrics.precision_recall_fscore_support(
                    labels, predicted, labels=np.arange(count), average=by, zero_division=0.0
                ),
                strict=False,
            )
        )
        for by in ("macro", "weighted")
    )
    return macro | {"weighted": weighted}


def bin_of(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Return in which of `bins` bins of equal width, from 0, each probability falls: (n,) int64."""
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def expected_calibration_error(hits: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    """Return the mean gap between probability and share of hits, weighted by bin.

    ECE = sum over bins of (n_bin / n) * |mean(hits) - mean(probabilities)|, with bins of equal width, as in
    Naeini, Cooper and Hauskrecht (2015) for binary classifiers, whose hits are the reviews of label 1.

    Args:
        hits: (n,) 0 or 1.
        probabilities: (n,) in 0 to 1, of a hit.
        bins: their number.
    """
    gaps = np.bincount(bin_of(probabilities, bins), weights=hits - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(hits))


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
        threshold: of two labels, the probability from which a review counts as positive.

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
            rows.append({"from": low + 1, "to": high} | judge_part(is_right[inside]))
    return rows


def accuracy_by_slice(scores: Scores, slices: Slices, threshold: float) -> list[dict[str, Any]]:
    """Return the accuracy of each slice of the reviews, the worst first, and last that of all smaller ones together.

    Args:
        scores: of n reviews.
        slices: of the same.
        threshold: of two labels, the probability from which a review counts as positive.

    Returns:
        One entry a slice: {"value", null for the smaller ones together, "reviews", "accuracy", "ci95"}.
    """
    is_right = scores.labels == scores.verdicts(threshold)
    # Sorted by place, the reviews of each slice lie side by side: many slices cost one sort.
    order = np.argsort(slices.places, kind="stable")
    bounds = np.searchsorted(slices.places[order], np.arange(len(slices.values) + 1))
    rows = [
        {"value": value} | judge_part(is_right[order[start:stop]])
        for value, (start, stop) in zip(slices.values, itertools.pairwise(bounds), strict=True)
    ]
    rows.sort(key=lambda row: row["accuracy"])
    if bounds[0]:
        rows.append({"value": None} | judge_part(is_right[order[: bounds[0]]]))
    return rows


def judge_part(is_right: np.ndarray) -> dict[str, Any]:
    """Return "reviews", "accuracy" and "ci95" of a part of the reviews: (n,) bool, n at least 1."""
    right, reviews = int(is_right.sum()), len(is_right)
    return {"reviews": reviews, "accuracy": right / reviews, "ci95": wilson_interval(right, reviews)}


def compare(labels: np.ndarray, predicted: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Return how the verdicts of one classifier compare with another's on the same reviews.

    The p-value is of McNemar's exact test (McNemar, 1947; a two-sided binomial test of the reviews on which one
    alone is right): how likely so uneven a share of them is, if both were equally good.

    Args:
        labels: (n,) integers from 0.
        predicted: (n,) the first classifier's verdicts.
        other: (n,) the second's.

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
