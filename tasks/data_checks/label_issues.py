"""Label issues: how strongly out-of-sample probabilities contradict labels, and the share of wrong labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.evaluation.metrics import wilson_interval
from tasks.evaluation.scores import Scores, read_scores
from tasks.texts.dataset import JsonFile

SPLITS = ("train", "validation", "test")
LABEL_ISSUES = "label_issues.csv"


class LabelIssues(JsonFile):
    """What `label_check` found.

    Attributes:
        rows: the number of rows in label_issues.csv.
        by_label: as `estimate_shares` returns it.
        examples: the first rows of label_issues.csv.
    """

    FILE = "label_issues.json"

    rows: int
    by_label: list[dict[str, Any]]
    examples: list[dict[str, Any]]


def out_of_sample(scored: Path, baselined: Path) -> list[Scores]:
    """Return scores of the texts of each of `SPLITS` by models that have not seen them.

    The linear models of the other folds score a training text; others have the mean of the network's and the linear
    model's probabilities.
    """
    train, *linear = (read_scores(baselined, split) for split in SPLITS)
    network = [read_scores(scored, split) for split in SPLITS[1:]]
    means = ((one.probabilities + other.probabilities) / 2 for one, other in zip(network, linear, strict=True))
    return [train, *(Scores(its.labels, mean) for its, mean in zip(network, means, strict=True))]


def by_label(probabilities: np.ndarray) -> np.ndarray:
    """Return a column for each label, (n, labels) float64, of probabilities as in `Scores`."""
    exact = probabilities.astype(np.float64)
    return exact if exact.ndim == 2 else np.stack([1 - exact, exact], axis=1)


def contradictions(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return how strongly probabilities contradict each label: (n,) float64, 1 is most.

    It is 1 minus the normalised margin between the label and the likeliest other one, after each label's mean
    probability in its own rows is subtracted, so that rare labels are not suspected as such (Northcutt, Jiang and
    Chuang, Confident learning, 2021; Northcutt, Athalye and Mueller, Pervasive label errors in test sets, 2021).

    Args:
        labels: (n,) integers from 0; every label is present.
        probabilities: (n, labels) of models that have not seen the rows.
    """
    from cleanlab.rank import get_label_quality_scores

    options = {"method": "normalized_margin", "adjust_pred_probs": True}
    quality: np.ndarray = get_label_quality_scores(labels, probabilities, **options)
    return 1 - quality


def estimate_shares(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each label's "rows", estimated share of wrong ones, "wrong", and its 95% interval "ci95".

    A row counts if the probability of a label reaches that label's mean in its own rows; the share is that of rows
    that count for another label (the confident joint of Northcutt et al.). Arguments as in `contradictions`.
    """
    from cleanlab.count import compute_confident_joint

    joint = compute_confident_joint(labels, probabilities, calibrate=False)
    counted = joint.sum(axis=1)
    wrong, rows = counted - joint.diagonal(), np.bincount(labels, minlength=len(names))
    return [
        {"label": name, "rows": int(n), "wrong": int(off) / int(of), "ci95": wilson_interval(int(off), int(of))}
        for name, n, off, of in zip(names, rows, wrong, counted, strict=True)
    ]
