"""The selection metric: the number by which epochs, networks and champions are chosen, and a paired test of it."""

from collections.abc import Callable
from statistics import mean
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from tasks.core.run_settings import Metric
from tasks.evaluation.predictions import probability_of
from tasks.texts.dataset_info import JsonFile

ROUNDS, SEED = 4_999, 113
FEW_SWAPS = 10  # fewer say little about a p-value (Knijnenburg, Wessels, Reinders and Shmulevich, 2009)
RANKING = ("roc_auc", "average_precision")  # depend on the order of the texts only
FEW_ROUNDS = 200  # enough for a standard error (Efron and Tibshirani, 1993)

# The lead of the first classifier over the second on some rows: of rows, and of which side answers for the first.
Lead = Callable[[np.ndarray, np.ndarray | int], float]


def measure(metric: Metric, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return a metric as scikit-learn does, of (n,) labels and verdicts from 0; every label must be present.

    With more than two labels, f1 is f1_macro, mcc is Gorodkin's (2004), and roc_auc and average_precision are means
    over the labels of each against the rest. `probabilities` are (n,) of label 1, or (n, labels).
    """
    if metric == "log_loss":
        return float(-np.log(np.maximum(probability_of(probabilities, labels), np.finfo(np.float64).eps)).mean())
    if metric in RANKING:
        if probabilities.ndim == 1:
            return measure_ranking(metric, labels, probabilities)
        return mean(measure_ranking(metric, labels == label, its) for label, its in enumerate(probabilities.T))
    count = 2 if probabilities.ndim == 1 else probabilities.shape[1]
    cells = np.bincount(labels.astype(np.int64) * count + verdicts, minlength=count**2).reshape(count, count)
    right, of_label, called = cells.diagonal(), cells.sum(axis=1), cells.sum(axis=0)
    if metric == "accuracy":
        return float(right.sum() / len(labels))
    if metric == "balanced_accuracy":
        return float((right / of_label).mean())
    if metric == "mcc":
        n = float(len(labels))
        spread = np.sqrt((n * n - called @ called) * (n * n - of_label @ of_label))
        return float((n * right.sum() - of_label @ called) / spread) if spread else 0.0
    f1 = 2 * right / (of_label + called)
    return float(f1[1] if metric == "f1" and count == 2 else f1.mean())


def measure_ranking(metric: Metric, hits: np.ndarray, probabilities: np.ndarray) -> float:
    """Return roc_auc or average_precision, in a hundredth of scikit-learn's time for few texts.

    `hits` are (n,) 0 or 1, both present; `probabilities` are (n,) of a hit.
    """
    order = np.argsort(-probabilities, kind="stable")
    last = np.flatnonzero(np.diff(probabilities[order], append=-1))  # of equal ones
    hit, missed = np.cumsum(hits[order], dtype=np.int64)[last], np.cumsum(hits[order] == 0)[last]
    if metric == "average_precision":
        return float((np.diff(hit, prepend=0) * hit / (last + 1)).sum() / hit[-1])
    return float(np.trapezoid(np.append(0, hit), np.append(0, missed)) / (hit[-1] * missed[-1]))


def missing_labels(metric: Metric | None, labels: np.ndarray, count: int) -> list[int]:
    """Return those of `count` labels that none of (n,) labels is, if the metric is not defined without them."""
    if metric in (None, "accuracy", "log_loss", "mcc"):
        return []
    return sorted(set(range(count)) - set(labels.tolist()))


def as_cost(metric: Metric | None, value: float) -> float:
    """Return a number that is lower for a better value of the metric (None: a loss), or the value of such a number."""
    return value if metric in (None, "log_loss") else -value


def lead_of(metric: Metric, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray) -> Lead:
    """Return a function for the lead of the first of two classifiers; the arguments are those of `compare_metric`."""

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
    bootstrap: Efron and Tibshirani, 1993).

    Args:
        labels: (n,) integers from 0; no label may be one of `missing_labels`.
        verdicts: (2, n) of both classifiers.
        probabilities: (2, n) or (2, n, labels).
        one_sided: whether only a lead of the first counts against chance.

    Returns:
        "metric", "difference" (positive if the first is better), "ci95" and "p_value".
    """
    from scipy.stats import norm, rankdata

    rng, rows = np.random.default_rng(SEED), np.arange(len(labels))
    if metric in RANKING:  # otherwise, a classifier with a higher level of probabilities would look like another order
        probabilities = rankdata(probabilities, axis=1)
    lead = lead_of(metric, labels, verdicts, probabilities)
    difference = lead(rows, 0)
    swapped = np.array([lead(rows, rng.integers(0, 2, len(rows))) for _ in range(ROUNDS)])
    drawn = draw_leads(lead, labels, rng, ROUNDS)
    by_chance = swapped if one_sided else np.abs(swapped)
    extreme = difference if one_sided else abs(difference)
    count = int((by_chance >= extreme - 1e-12).sum())
    p_value = (1 + count) / (1 + ROUNDS)
    if count < FEW_SWAPS:
        p_value = (1 if one_sided else 2) * float(norm.sf(extreme / swapped.std()))
    return {
        "metric": metric,
        "difference": difference,
        "ci95": np.quantile(drawn, [0.025, 0.975]).tolist(),
        "p_value": p_value,
    }


class CandidateMetrics(BaseModel):
    """A candidate on the validation texts."""

    value: float
    log_loss: float


class Candidates(JsonFile):
    """What the step `select` writes: which model is packaged, and why."""

    FILE = "candidates.json"

    considered: Literal["best", "network"]
    chosen: Literal["linear", "network"]
    metric: str
    network: CandidateMetrics
    linear: CandidateMetrics
