"""Predictions: a classifier's probabilities of a split, the rule that makes labels of them, and their calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import InputError
from tasks.core.run_settings import ThresholdSettings
from tasks.texts.dataset_info import JsonFile, label_dtype

# How probabilities become labels: the threshold of two labels, or of more the (predicted, true) costs of mistakes.
Rule = float | np.ndarray
LEAST = 1e-7  # probabilities in single precision reach no closer to 1


@dataclass(frozen=True)
class Scores:
    """True labels, (n,) int8 or int16 from 0, and a classifier's probabilities, float32.

    With two labels, `probabilities` are (n,) of label 1, with more (n, labels).
    """

    labels: np.ndarray
    probabilities: np.ndarray

    def verdicts(self, rule: Rule) -> np.ndarray:
        """Return the predicted labels: (n,) of the labels' type."""
        return decide_labels(self.probabilities, rule)

    def divided(self, temperature: float) -> "Scores":
        """Return the scores after their logits are divided by `temperature`."""
        return Scores(self.labels, divide_logits(self.probabilities, temperature).astype(np.float32))


def cost_table(settings: ThresholdSettings, names: Sequence[str]) -> np.ndarray:
    """Return what predicting a label costs if another is true: (labels, labels) float64, 0 on the diagonal.

    Raise InputError if a cost is not of two different labels.
    """
    costs = 1 - np.eye(len(names))
    for predicted, true, cost in settings.cost:
        if predicted == true or not {predicted, true} <= set(names):
            raise InputError(
                f"evaluation.cost: {predicted!r} instead of {true!r}: expected two different labels of "
                f"{', '.join(names)}; correct the table"
            )
        costs[names.index(predicted), names.index(true)] = cost
    return costs


def decision_rule(settings: ThresholdSettings, names: Sequence[str]) -> Rule:
    """Return the rule of the settings: the label with the lowest expected cost (Elkan, 2001).

    With two labels that is label 1 from the probability c[1, 0] / (c[1, 0] + c[0, 1]).
    """
    if not settings.cost:
        return settings.threshold
    costs = cost_table(settings, names)
    return costs if len(names) > 2 else float(costs[1, 0] / costs.sum())


def decide_labels(probabilities: np.ndarray, rule: Rule) -> np.ndarray:
    """Return the predicted labels: (n,) int8 or int16.

    (n,) probabilities of label 1 of two are compared with the threshold in double precision; of (n, labels) the most
    probable one is taken if there are no costs.
    """
    if probabilities.ndim == 1:
        return (probabilities.astype(np.float64) >= rule).astype(np.int8)
    benefits = probabilities if isinstance(rule, float) else -probabilities @ rule.T
    verdicts: np.ndarray = benefits.argmax(axis=1).astype(label_dtype(probabilities.shape[1]))
    return verdicts


def probability_of(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each text's probability of the given label: (n,) float64; `probabilities` as in `Scores`."""
    exact = probabilities.astype(np.float64)
    if exact.ndim == 1:
        return np.where(labels == 1, exact, 1 - exact)
    given: np.ndarray = exact[np.arange(len(labels)), labels]
    return given


def confidence_of(probabilities: np.ndarray, rule: Rule) -> np.ndarray:
    """Return the probability of each text's predicted label: (n,) float64."""
    return probability_of(probabilities, decide_labels(probabilities, rule))


class Calibration(JsonFile):
    """The temperature by which a network's logits were divided; None if it was not calibrated."""

    FILE = "calibration.json"

    temperature: float | None


def by_label(probabilities: np.ndarray) -> np.ndarray:
    """Return a column for each label: (n, labels) float64; `probabilities` as in `Scores`."""
    exact = probabilities.astype(np.float64)
    return exact if exact.ndim == 2 else np.stack([1 - exact, exact], axis=1)


def divide_logits(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities after their logits are divided by `temperature`; float64, shaped as in `Scores`."""
    from scipy.special import softmax

    scaled: np.ndarray = softmax(np.log(np.maximum(by_label(probabilities), LEAST)) / temperature, axis=1)
    return scaled if probabilities.ndim == 2 else scaled[:, 1]


def fit_temperature(scores: Scores) -> float:
    """Return the temperature, 0.05 to 20, that gives the scores the lowest log loss.

    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017. With two labels it is the slope of
    Platt's sigmoid (Probabilistic outputs for support vector machines, 1999) without his offset, which would change
    labels. As there, a true label counts as (n + 1) / (n + 2), so a few texts without a mistake do not make
    probabilities 0 or 1.
    """
    from scipy.optimize import minimize_scalar

    target = (len(scores.labels) + 1) / (len(scores.labels) + 2)

    def log_loss(log_temperature: float) -> float:
        given = probability_of(divide_logits(scores.probabilities, np.exp(log_temperature)), scores.labels)
        hit, miss = (np.log(np.maximum(share, LEAST)).mean() for share in (given, 1 - given))
        return float(-target * hit - (1 - target) * miss)

    return float(np.exp(minimize_scalar(log_loss, bounds=(-3, 3), method="bounded").x))


def write_scores(folder: Path, split: str, scores: Scores, **columns: Any) -> None:
    """Write the scores of a split, one row per review, after other columns.

    The columns are label and probability, or with more than two labels the list column probabilities.
    """
    columns["label"], its = scores.labels, scores.probabilities
    if its.ndim == 1:
        columns["probability"] = its
    else:
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(its.reshape(-1), its.shape[1])
    pq.write_table(pa.table(columns), folder / f"{split}.parquet", compression="zstd")


def read_scores(folder: Path, split: str) -> Scores:
    """Read the scores of a split."""
    table = pq.read_table(folder / f"{split}.parquet")
    labels = table["label"].to_numpy()
    if "probability" in table.column_names:
        return Scores(labels, table["probability"].to_numpy())
    rows = table["probabilities"].combine_chunks()
    return Scores(labels, rows.flatten().to_numpy().reshape(len(labels), -1))
