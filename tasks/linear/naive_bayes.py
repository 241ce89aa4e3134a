"""Naive Bayes weighted: a logistic regression on phrases, each scaled by how much it tells (Wang and Manning 2012)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.linear.descent import minimise

# SciPy is imported by those who make the matrices.
if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class PhraseModel:
    """What reviews of a label against all others say about phrases.

    Attributes:
        ratios: (phrases,) float32 log ratios.
        weights: (phrases,) float32 of the linear model; a review's logit is the sum over the phrases that it holds.
        intercept: added to that sum.
    """

    ratios: np.ndarray
    weights: np.ndarray
    intercept: float

    def logits(self, presence: "csr_matrix") -> np.ndarray:
        """Return the logit of each of n reviews: (n,) float32."""
        logits: np.ndarray = presence @ self.weights + np.float32(self.intercept)
        return logits


def presence_of(counts: "csr_matrix") -> "csr_matrix":
    """Return 1 where a review holds a phrase, however often."""
    presence = counts.copy()
    presence.data[:] = 1
    return presence


def log_ratios(positive: np.ndarray, negative: np.ndarray, sizes: np.ndarray, min_documents: int) -> np.ndarray:
    """Return log((p + 1) / (q + 1)) - log(sum p / sum q), the sums by phrase length; 0 where the phrase is too rare.

    Args:
        positive: (phrases,) p, reviews of the label that hold the phrase.
        negative: (phrases,) q, other reviews that hold it.
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
    turned: "csr_matrix",
    signs: np.ndarray,
    sizes: np.ndarray,
    *,
    min_documents: int,
    inverse_penalty: float,
    iterations: int,
) -> PhraseModel:
    """Fit ratios, and a logistic regression on presence scaled by them, from zero.

    With z = presence @ (ratios * v) + intercept it minimises sum(log(1 + exp(-s z))) + |v|^2 / (2 C), the intercept
    free; a phrase's weight is ratio * v. Starting from another fit would carry that one's labels over.

    Args:
        presence: (reviews, phrases) float32 ones.
        turned: its transpose, as rows.
        signs: (reviews,) float32: 1 for the label, -1 for others, 0 for reviews that are left out.
        sizes: (phrases,) words of each phrase.
        min_documents: reviews that a phrase must stand in, of those not left out.
        inverse_penalty: C.
        iterations: steps of the descent.
    """
    positive, negative = (turned @ (signs == sign).astype(np.float32) for sign in (1, -1))
    ratios = log_ratios(positive, negative, sizes, min_documents)
    counted, held_down = signs != 0, np.float32(1 / inverse_penalty)

    def value(at: np.ndarray) -> tuple[float, np.ndarray]:
        margin = signs * (presence @ (ratios * at[:-1]) + at[-1])
        pull = -signs / (1 + np.exp(np.minimum(margin, 80)))  # beyond, a float32 overflows
        gradient = np.append(ratios * (turned @ pull) + held_down * at[:-1], pull.sum())
        losses = np.logaddexp(0, -margin[counted]).sum(dtype=np.float64)
        return float(losses + held_down / 2 * (at[:-1] @ at[:-1])), gradient

    found = minimise(value, np.zeros(len(ratios) + 1, np.float32), iterations)
    return PhraseModel(ratios, found[:-1] * ratios, float(found[-1]))


def signs_of(labels: np.ndarray, label: int = 1) -> np.ndarray:
    """Return 1 for reviews of a label and -1 for all others: (n,) float32."""
    return np.where(labels == label, 1, -1).astype(np.float32)
