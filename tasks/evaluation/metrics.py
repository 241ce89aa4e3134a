"""Metrics of a classifier on a split, on ranges of lengths, and of the texts that it answers."""

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from tasks.core.run_settings import Metric, MetricsSettings
from tasks.evaluation.predictions import Rule, Scores, confidence_of, cost_table, decision_rule
from tasks.evaluation.selection_metric import measure

# The metrics that are one number.
HEADLINES = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss")  # for narrow tables
NUMBERS = (*HEADLINES, "brier", "ece", "f1_macro", "balanced_accuracy", "mcc", "average_precision")
Z_95 = 1.959963984540054  # the normal distribution's 97.5% quantile
MEANS = ("precision", "recall", "f1")
LEVEL, STARTS = 0.05, 5  # of the tests of confidence thresholds
LENGTH_EDGES = (0, 64, 128, 192, 256, 512, 1024)


def measure_scores(scored: Scores, names: Sequence[str], settings: MetricsSettings) -> dict[str, Any]:
    """Return the metrics of a split, as docs/metrics.md describes them; every label must be present.

    With two labels, precision, recall, f1, brier and ece are those of label 1. With more, precision, recall and f1 are
    means over the labels (macro), brier is the sum over labels (Brier, 1950), and ece that of the most probable label
    (Guo et al., 2017).
    """
    from sklearn import metrics

    labels, scores = scored.labels, scored.probabilities.astype(np.float64)
    predicted = scored.verdicts(decision_rule(settings, names))
    if scores.ndim == 2:
        scores /= scores.sum(axis=1, keepdims=True)  # in single precision the sum is only nearly 1
    numbers = np.arange(len(names))
    each = metrics.precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0.0)
    by_label = [
        {"label": name, "support": int(support), "precision": float(p), "recall": float(r), "f1": float(f)}
        for name, p, r, f, support in zip(names, *each, strict=True)
    ]
    judged = {metric: measure(metric, labels, predicted, scores) for metric in get_args(Metric)} | {
        "brier": float(metrics.brier_score_loss(labels, scores, labels=numbers)),
        "ece": calibration_error(labels, scores, settings.calibration_bins),
        "ci95": wilson_interval(int((labels == predicted).sum()), len(labels)),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
        "by_label": by_label,
    }
    if settings.cost:
        judged["mean_cost"] = float(cost_table(settings, names)[predicted, labels].mean())
    if len(names) == 2:
        return judged | {name: by_label[1][name] for name in MEANS}
    averages = dict(zip(MEANS, each, strict=False))
    weighted = {name: float(np.average(values, weights=each[-1])) for name, values in averages.items()}
    return judged | {name: float(values.mean()) for name, values in averages.items()} | {"weighted": weighted}


def bin_of(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Return each probability's bin among `bins` of equal width: (n,) int64."""
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    """Return the expected calibration error of label 1 of two, or with more labels of the most probable one.

    ECE = sum over bins of (n_bin / n) * |mean(hits) - mean(probabilities)|, with bins of equal width, as in
    Naeini, Cooper and Hauskrecht (2015) for binary classifiers, whose hits are the reviews of label 1.
    `labels` are (n,) integers from 0, `probabilities` (n,) of label 1 or (n, labels).
    """
    hits = labels
    if probabilities.ndim == 2:
        hits, probabilities = labels == probabilities.argmax(axis=1), probabilities.max(axis=1)
    gaps = np.bincount(bin_of(probabilities, bins), weights=hits - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(hits))


def find_confidence_threshold(validation: Scores, rule: Rule, error: float) -> float:
    """Return the confidence that an answered text must exceed.

    With 95% confidence, at most the share `error` of the answers to new texts like the validation texts is wrong. If
    there are too few validation texts to show it, the result is 1, and no text is answered.

    This is selective classification with guaranteed risk (Geifman and El-Yaniv, Selective classification for deep
    neural networks, 2017). Thresholds are tested by the exact binomial tail, in sequences of falling confidence from
    five starts, each until a test fails and at a fifth of the level (fixed-sequence testing: Angelopoulos, Bates,
    Candès, Jordan and Lei, Learn then test, 2021).
    """
    from scipy.stats import binom

    confidence = confidence_of(validation.probabilities, rule)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum((validation.verdicts(rule) != validation.labels)[order])
    thresholds = np.append(confidence[order][1:], 0.0)
    answered = np.flatnonzero(confidence[order] > thresholds) + 1  # equal ones are answered together
    p_values = binom.cdf(wrong[answered - 1], answered, error)
    has_failed = np.append(p_values > LEVEL / STARTS, True)
    threshold = 1.0
    for start in np.arange(1, STARTS + 1) * len(answered) // STARTS - 1:
        if passed := int(has_failed[start:].argmax()):
            threshold = float(thresholds[answered[start + passed - 1] - 1])
    return threshold


def measure_answers(scored: Scores, rule: Rule, confidence_threshold: float) -> dict[str, Any]:
    """Return the confidence threshold, the share of unanswered texts, and the share of wrong answers."""
    is_answered = confidence_of(scored.probabilities, rule) > confidence_threshold
    is_wrong = (scored.verdicts(rule) != scored.labels)[is_answered]
    error = float(is_wrong.mean()) if is_answered.any() else None
    unanswered = float(1 - is_answered.mean())
    return {"confidence_threshold": confidence_threshold, "unanswered": unanswered, "error": error}


def wilson_interval(right: int, reviews: int) -> list[float]:
    """Return the 95% interval of an accuracy: [low, high], within 0 and 1, and around the accuracy.

    The shares p with |share - p| <= z * sqrt(p * (1 - p) / n) (Wilson, 1927). Unlike the bootstrap's and Wald's
    intervals it does not shrink to a point if every answer is right. `reviews` is n, at least 1.
    """
    share, shrink = right / reviews, Z_95**2 / reviews
    centre = (share + shrink / 2) / (1 + shrink)
    reach = math.sqrt(shrink * share * (1 - share) + shrink**2 / 4) / (1 + shrink)
    # If all answers are right, or none, rounding could put the accuracy just outside.
    return [min(max(centre - reach, 0.0), share), max(min(centre + reach, 1.0), share)]


def accuracy_by_length(scores: Scores, lengths: np.ndarray, rule: Rule) -> list[dict[str, Any]]:
    """Return the accuracy of each range of `lengths`, (n,) words kept, that has reviews."""
    longest = max(int(lengths.max()), 1)
    edges = [*(edge for edge in LENGTH_EDGES if edge < longest), longest]
    places, is_right = np.searchsorted(edges[1:], lengths), scores.labels == scores.verdicts(rule)
    rows = []
    for place in np.unique(places):
        right, reviews = int(is_right[places == place].sum()), int((places == place).sum())
        accuracy = {"reviews": reviews, "accuracy": right / reviews, "ci95": wilson_interval(right, reviews)}
        rows.append({"from": edges[place] + 1, "to": edges[place + 1]} | accuracy)
    return rows
