"""Significance: paired tests and intervals of the difference of two classifiers on the same texts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.core.run_settings import Metric
from tasks.evaluation.metrics import Z_95
from tasks.evaluation.selection_metric import RANKING, as_cost, measure

ROUNDS, SEED = 4_999, 113
MAX_WORK = 125_000_000  # texts * labels * rounds: half a minute
FEW_SWAPS = 10  # fewer say little about a p-value (Knijnenburg, Wessels, Reinders and Shmulevich, 2009)
FEW_ROUNDS = 200  # enough for a standard error (Efron and Tibshirani, 1993)

# The lead of the first classifier over the second on some rows: of rows, and of which side answers for the first.
Lead = Callable[[np.ndarray, np.ndarray | int], float]


def paired_interval(only_first: int, only_second: int, reviews: int) -> list[float]:
    """Return the 95% interval of the difference of two accuracies on the same reviews: [low, high].

    Wald's interval after half a review is added to each of the four cells (Agresti and Min, 2005).
    """
    first, second, n = only_first + 0.5, only_second + 0.5, reviews + 2
    reach = Z_95 * math.sqrt(first + second - (first - second) ** 2 / n) / n
    return [(first - second) / n - reach, (first - second) / n + reach]


def compare_scores(
    metric: Metric | None, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray, *, one_sided: bool
) -> dict[str, Any]:
    """Return `compare` of two classifiers, and in its place for any metric but the accuracy, `compare_metric`."""
    compared = compare(labels, *verdicts, one_sided=one_sided)
    if metric in (None, "accuracy"):
        return compared
    return compared | compare_metric(metric, labels, verdicts, probabilities, one_sided=one_sided)


def compare(labels: np.ndarray, predicted: np.ndarray, other: np.ndarray, *, one_sided: bool = False) -> dict[str, Any]:
    """Return the comparison of the verdicts of two classifiers on n texts; the arrays are (n,) integers from 0.

    The p-value is McNemar's exact test (McNemar, 1947): a binomial test of the reviews on which only one classifier is
    right. With `one_sided`, only a lead of the first counts against chance.
    """
    from scipy.stats import binomtest

    first, second = predicted == labels, other == labels
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    disputed, alternative = only_first + only_second, "greater" if one_sided else "two-sided"
    return {
        "metric": "accuracy",
        "difference": float(first.mean() - second.mean()),
        "ci95": paired_interval(only_first, only_second, len(labels)),
        "only_first": only_first,
        "only_second": only_second,
        "p_value": float(binomtest(only_first, disputed, alternative=alternative).pvalue) if disputed else 1.0,
    }


def lead_of(metric: Metric, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray) -> Lead:
    """Return a function for the lead of the first of two classifiers; the arguments are those of `compare_metric`."""
    from scipy.stats import rankdata

    if metric in RANKING:  # otherwise, a classifier with a higher level of probabilities would look like another order
        probabilities = np.unique(rankdata(probabilities, axis=1), return_inverse=True)[1].astype(np.int32)

    def lead(rows: np.ndarray, first: np.ndarray | int) -> float:
        costs = [
            as_cost(metric, measure(metric, labels[rows], verdicts[side, rows], probabilities[side, rows]))
            for side in (first, 1 - first)
        ]
        return costs[1] - costs[0]

    return lead


def draw_leads(lead: Lead, labels: np.ndarray, rng: np.random.Generator, rounds: int) -> list[float]:
    """Return the lead on texts drawn with replacement within each label, the same for both classifiers."""
    of_label = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [lead(np.concatenate([rng.choice(its, len(its)) for its in of_label]), 0) for _ in range(rounds)]


def standard_errors(metric: Metric, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the lead of the first of two classifiers in standard errors, by the bootstrap of `compare_metric`."""
    lead = lead_of(metric, labels, verdicts, probabilities)
    difference = lead(np.arange(len(labels)), 0)
    error = np.std(draw_leads(lead, labels, np.random.default_rng(SEED), FEW_ROUNDS))
    return difference / max(float(error), 1e-12)


def compare_metric(
    metric: Metric, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray, *, one_sided: bool = False
) -> dict[str, Any]:
    """Return by how much the first of two classifiers is better on the same texts, with interval and p-value.

    The p-value is that of a paired permutation test, which swaps the two answers to each text with probability 1/2
    (approximate randomisation: Noreen, 1989; Yeh, 2000), or the ranks of the answers if only these count. If few swaps
    lead as much, it is that of a normal distribution with their standard deviation. The interval has the 2.5% and 97.5%
    quantiles of the difference on texts drawn with replacement within each label, the same for both (stratified paired
    bootstrap: Efron and Tibshirani, 1993). Both have 4,999 rounds, or, if texts times labels are more than 25,000,
    fewer, down to 200.

    Args:
        labels: (n,) integers from 0; no label may be one of `missing_labels`.
        verdicts: (2, n) of both classifiers.
        probabilities: (2, n) or (2, n, labels).
        one_sided: whether only a lead of the first counts against chance.

    Returns:
        "metric", "difference" (positive if the first is better), "ci95" and "p_value".
    """
    from scipy.stats import norm

    rng, rows = np.random.default_rng(SEED), np.arange(len(labels))
    rounds = min(ROUNDS, max(FEW_ROUNDS, MAX_WORK // probabilities[0].size))
    lead = lead_of(metric, labels, verdicts, probabilities)
    difference = lead(rows, 0)
    swapped = np.array([lead(rows, rng.integers(0, 2, len(rows))) for _ in range(rounds)])
    drawn = draw_leads(lead, labels, rng, rounds)
    by_chance = swapped if one_sided else np.abs(swapped)
    extreme = difference if one_sided else abs(difference)
    count = int((by_chance >= extreme - 1e-12).sum())
    p_value = (1 + count) / (1 + rounds)
    if count < FEW_SWAPS:
        p_value = (1 if one_sided else 2) * float(norm.sf(extreme / swapped.std()))
    return {
        "metric": metric,
        "difference": difference,
        "ci95": np.quantile(drawn, [0.025, 0.975]).tolist(),
        "p_value": p_value,
    }
