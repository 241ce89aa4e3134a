"""Scores: what a classifier makes of the reviews of a split, on their way from who scores to who judges."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Scores:
    """A classifier's probabilities beside the truth.

    Attributes:
        labels: (n,) int8, 0 or 1.
        probabilities: (n,) float32, of a positive review.
    """

    labels: np.ndarray
    probabilities: np.ndarray

    def verdicts(self, threshold: float) -> np.ndarray:
        """Return the label that each probability stands for: (n,) int8."""
        return decide_labels(self.probabilities, threshold)


def decide_labels(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 where a probability is at least the threshold, else 0: (n,) int8.

    Args:
        probabilities: (n,) of a positive review.
        threshold: compared in double precision, whatever the probabilities' own.
    """
    return (probabilities.astype(np.float64) >= threshold).astype(np.int8)


def scores_file(folder: Path, split: str) -> Path:
    """Return where the scores of a split are."""
    return folder / f"{split}.parquet"


def write_scores(folder: Path, split: str, scores: Scores) -> None:
    """Write the columns label and probability, a review a row."""
    table = pa.table({"label": scores.labels, "probability": scores.probabilities})
    pq.write_table(table, scores_file(folder, split), compression="zstd")


def read_scores(folder: Path, split: str) -> Scores:
    """Return what `write_scores` wrote."""
    table = pq.read_table(scores_file(folder, split))
    return Scores(table["label"].to_numpy(), table["probability"].to_numpy())
