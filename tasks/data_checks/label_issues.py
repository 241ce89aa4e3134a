"""Label issues: how strongly out-of-sample probabilities contradict labels, and the share of wrong labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.evaluation.metrics import wilson_interval


def rank_labels(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable label of each row, and how strongly its label is contradicted: (n,) from 0 to 1.

    That is 1 minus the normalised margin between the label and the likeliest other one, after each label's mean
    probability in its own rows is subtracted: rare labels are not suspected as such (Northcutt, Jiang and Chuang,
    Confident learning, 2021).

    Args:
        labels: (n,) integers from 0; every label is present.
        probabilities: (n, labels) of models that have not seen the rows.
    """
    from cleanlab.rank import get_label_quality_scores

    options = {"method": "normalized_margin", "adjust_pred_probs": True}
    return probabilities.argmax(axis=1), 1 - get_label_quality_scores(labels, probabilities, **options)


def estimate_shares(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each label's "rows", estimated share of wrong ones, "wrong", and its 95% interval "ci95".

    A row counts if the probability of a label reaches that label's mean in its own rows. The share is that of rows
    that count for another label (the confident joint of Northcutt et al.). Arguments are those of `rank_labels`.
    """
    from cleanlab.count import compute_confident_joint

    joint = compute_confident_joint(labels, probabilities, calibrate=False).tolist()
    shares = []
    for label, name in enumerate(names):
        counted, right = sum(joint[label]), joint[label][label]
        share, interval = 1 - right / counted, wilson_interval(counted - right, counted)
        shares.append({"label": name, "rows": int((labels == label).sum()), "wrong": share, "ci95": interval})
    return shares
