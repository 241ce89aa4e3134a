"""The exam: what a registered model made of its test reviews, and which reviews it has learnt, kept with its run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.judging.scores import Scores, columns_of, scores_in
from tasks.reviews.identity import Identities

TESTED, LEARNT = "test.parquet", "learnt.parquet"


@dataclass(frozen=True)
class Exam:
    """A model's scores, each with the review that it is of.

    Attributes:
        scores: of n test reviews.
        reviews: who these are.
    """

    scores: Scores
    reviews: Identities


def write_exam(folder: Path, exam: Exam) -> list[Path]:
    """Write the column review beside the scores of the test reviews, and alone of those that were learnt."""
    tables = {
        TESTED: pa.table({"review": exam.reviews.tested} | columns_of(exam.scores)),
        LEARNT: pa.table({"review": exam.reviews.learnt}),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / name, compression="zstd")
    return [folder / name for name in tables]


def read_exam(folder: Path) -> Exam:
    """Return what `write_exam` wrote."""
    tested, learnt = (pq.read_table(folder / name) for name in (TESTED, LEARNT))
    return Exam(scores_in(tested), Identities(tested["review"].to_numpy(), learnt["review"].to_numpy()))


def look_up(reviews: np.ndarray, known: np.ndarray, probabilities: np.ndarray) -> np.ndarray | None:
    """Return the probabilities of each review, or None where one of them is not known.

    Args:
        reviews: (n,) uint64.
        known: (m,) uint64, in any order.
        probabilities: (m,) or (m, labels) of the known ones.
    """
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known, reviews, sorter=order)
    if len(reviews) and (not len(known) or not np.isin(reviews, known).all()):
        return None
    found: np.ndarray = probabilities[order[place]]
    return found
