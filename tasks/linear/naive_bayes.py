"""Naive Bayes: a logistic regression on phrases scaled by their log ratios (Wang and Manning 2012)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.linear.lbfgs import minimise

# SciPy is imported by those who make the matrices.
if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

THREADS = 2  # of linear algebra: their number changes how sums are rounded, and the figures are of two
MAXLEN = 4096  # tokens that the baseline reads of a text, which bound the memory that one text takes


@dataclass(frozen=True)
class PhraseModel:
    """One label against all others.

    Attributes:
        ratios: (phrases,) float32 log ratios.
        weights: (phrases,) float32; a text's logit is the sum over its phrases.
        intercept: added to that sum.
    """

    ratios: np.ndarray
    weights: np.ndarray
    intercept: float

    def logits(self, presence: "csr_matrix") -> np.ndarray:
        """Return the logit of each text: (n,) float32."""
        logits: np.ndarray = presence @ self.weights + np.float32(self.intercept)
        return logits


def presence_of(counts: "csr_matrix") -> "csr_matrix":
    """Return 1 where a text contains a phrase."""
    presence = counts.copy()
    presence.data[:] = 1
    return presence


def log_ratios(positive: np.ndarray, negative: np.ndarray, sizes: np.ndarray, min_documents: int) -> np.ndarray:
    """Return log((p + 1) / (q + 1)) - log(sum p / sum q), with sums per phrase length; 0 for rare phrases.

    Args:
        positive: (phrases,) p, texts of the label that contain the phrase.
        negative: (phrases,) q, other texts that contain it.
        sizes: (phrases,) words of each phrase.
        min_documents: p + q below which the ratio is 0.

    Returns:
        (phrases,) float32.
    """
    ratios = np.log((positive.astype(np.float64) + 1) / (negative.astype(np.float64) + 1))
    for size in np.unique(sizes):
        of_size = sizes == size
        # A sum of 0 has no logarithm; then every ratio of this length says the same, and 1 stands for it.
        ratios[of_size] -= np.log(max(positive[of_size].sum(), 1) / max(negative[of_size].sum(), 1))
    ratios[positive + negative < min_documents] = 0
    return ratios.astype(np.float32)


def fit_phrases(
    presence: "csr_matrix",
    transposed: "csr_matrix",
    signs: np.ndarray,
    sizes: np.ndarray,
    *,
    min_documents: int,
    inverse_penalty: float,
    iterations: int,
) -> PhraseModel:
    """Fit ratios, and a logistic regression on presence scaled by them, starting from zero.

    With z = presence @ (ratios * v) + intercept it minimises sum(log(1 + exp(-s z))) + |v|^2 / (2 C), without a
    penalty on the intercept; a phrase's weight is ratio * v. Starting from another fit would leak that fit's labels.

    Args:
        presence: (texts, phrases) float32 ones.
        transposed: its transpose, in rows.
        signs: (texts,) float32: 1 for the label, -1 for others, 0 for texts that are left out.
        sizes: (phrases,) words of each phrase.
        min_documents: texts, of those not left out, that must contain a phrase.
        inverse_penalty: C.
        iterations: steps of the descent.
    """
    positive, negative = (transposed @ (signs == sign).astype(np.float32) for sign in (1, -1))
    ratios = log_ratios(positive, negative, sizes, min_documents)
    included, penalty = signs != 0, np.float32(1 / inverse_penalty)

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        scales, intercept = point[:-1], point[-1]
        margin = signs * (presence @ (ratios * scales) + intercept)
        slopes = -signs / (1 + np.exp(np.minimum(margin, 80)))  # beyond, a float32 overflows
        gradient = np.append(ratios * (transposed @ slopes) + penalty * scales, slopes.sum())
        losses = np.logaddexp(0, -margin[included]).sum(dtype=np.float64)
        return float(losses + penalty / 2 * (scales @ scales)), gradient

    solution = minimise(objective, np.zeros(len(ratios) + 1, np.float32), iterations)
    return PhraseModel(ratios, solution[:-1] * ratios, float(solution[-1]))


def signs_of(labels: np.ndarray, label: int = 1) -> np.ndarray:
    """Return 1 for texts of a label and -1 for all others: (n,) float32."""
    return np.where(labels == label, 1, -1).astype(np.float32)


def fix_threads() -> None:
    """Use two threads for linear algebra from now on, however many processors there are or OMP_NUM_THREADS says."""
    import scipy.linalg  # noqa: F401 - brings a library of its own, which must be loaded to be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(THREADS, user_api="blas")
