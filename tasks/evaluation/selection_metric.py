"""The selection metric: the number by which epochs, networks and champions are chosen."""

from statistics import mean

import numpy as np

from tasks.core.run_settings import Metric
from tasks.evaluation.predictions import probability_of

RANKING = ("roc_auc", "average_precision")  # depend on the order of the texts only


def measure(metric: Metric, labels: np.ndarray, verdicts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return a metric as scikit-learn does, of (n,) labels and verdicts from 0; every label must be present.

    With more than two labels, f1 is f1_macro, mcc is Gorodkin's (2004), and roc_auc and average_precision are means
    over the labels of each against the rest. `probabilities` are (n,) of label 1, or (n, labels); for these two, they
    may be ranks (see `measure_ranking`).
    """
    if metric == "log_loss":
        return float(-np.log(np.maximum(probability_of(probabilities, labels), np.finfo(np.float64).eps)).mean())
    if metric in RANKING:
        if probabilities.ndim == 1:
            return measure_ranking(metric, labels == 1, probabilities)
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


def measure_constant(metric: Metric, labels: np.ndarray, count: int) -> float:
    """Return a metric of the best single verdict on (n,) labels, and their shares as probabilities.

    That is the most frequent label; f1 of two labels is of label 1, and 0 if this is never predicted.
    """
    rows = np.bincount(labels, minlength=count)
    shares = np.broadcast_to(rows / len(labels), (len(labels), count))
    verdicts = np.full(len(labels), 1 if metric == "f1" and count == 2 else rows.argmax())
    return measure(metric, labels, verdicts, shares[:, 1] if count == 2 else shares)


def measure_ranking(metric: Metric, hits: np.ndarray, ranks: np.ndarray) -> float:
    """Return roc_auc or average_precision, in a hundredth of scikit-learn's time for few texts.

    `hits` are (n,) bool, some true and some false; `ranks` are (n,) probabilities of a hit, or small integers in their
    place, which are counted instead of sorted.
    """
    if not np.issubdtype(ranks.dtype, np.integer):
        ranks = np.unique(ranks, return_inverse=True)[1]
    counts = np.bincount(ranks)
    hit = np.bincount(ranks[np.flatnonzero(hits)], minlength=len(counts))
    if metric == "average_precision":
        known = np.flatnonzero(counts)[::-1]
        return float((hit[known] * hit[known].cumsum() / counts[known].cumsum()).sum() / hit.sum())
    missed = counts - hit
    return float((hit @ missed.cumsum() - hit @ missed / 2) / (hit.sum() * missed.sum()))


def missing_labels(metric: Metric | None, labels: np.ndarray, count: int) -> list[int]:
    """Return those of `count` labels that none of (n,) labels is, if the metric is not defined without them."""
    if metric in (None, "accuracy", "log_loss", "mcc"):
        return []
    return sorted(set(range(count)) - set(labels.tolist()))


def show_leads(metric: str, *leads: float) -> tuple[str, ...]:
    """Return the unit of leads, points or of log loss nats, and each of them with its sign."""
    if metric == "log_loss":
        return "nats of log_loss", *(f"{lead:+.4f}" for lead in leads)
    return f"points of {metric}", *(f"{100 * lead:+.2f}" for lead in leads)


def as_cost(metric: Metric | None, value: float) -> float:
    """Return a number that is lower for a better value of the metric (None: a loss), or the value of such a number."""
    return value if metric in (None, "log_loss") else -value
