"""Naive Bayes: a logistic regression on phrases scaled by their log ratios (Wang and Manning 2012)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

# SciPy is imported by those who make the matrices.
if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

THREADS = 2  # of linear algebra: their number changes how sums are rounded, and the figures are of two
MAXLEN = 4096  # tokens that the baseline reads of a text, which bound the memory that one text takes
ARMIJO = 1e-4  # the share of the decrease that the gradient predicts, which a step must reach (Armijo 1966)
SHORTEST = 1e-6
MIN_ADDED = 1e-3  # to the count of a phrase

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class PhraseModel:
    """One label against all others: a text's logit is `intercept` plus the sum of its phrases' weights.

    `ratios` are log ratios; both arrays are (phrases,) float32.
    """

    ratios: np.ndarray
    weights: np.ndarray
    intercept: float


def log_ratios(
    positive: np.ndarray, negative: np.ndarray, sizes: np.ndarray, min_documents: int, share: float
) -> np.ndarray:
    """Return log((p + a) / (q + b)) - log(sum p / sum q), with sums per phrase length: (phrases,) float32.

    a + b = 2 are in proportion to the texts of both sides, so that a rare phrase says little about either: with
    a = b = 1, each would speak for the rarer side.

    Args:
        positive: (phrases,) p, texts of the label that contain the phrase.
        negative: (phrases,) q, other texts that contain it.
        sizes: (phrases,) words of each phrase.
        min_documents: p + q below which the ratio is 0.
        share: of the label's texts in all texts.
    """
    rarer = max(float(f"{2 * min(share, 1 - share):.1g}"), MIN_ADDED)  # one digit: 1 if both have about as many
    a, b = (rarer, 2 - rarer) if share <= 0.5 else (2 - rarer, rarer)
    ratios = np.log((positive.astype(np.float64) + a) / (negative.astype(np.float64) + b))
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
    by_share: bool,
    inverse_penalty: float,
    iterations: int,
) -> PhraseModel:
    """Fit ratios, and a logistic regression on presence scaled by them, starting from zero.

    With z = presence @ (ratios * v) + intercept it minimises sum(log(1 + exp(-s z))) + |v|^2 / (2 C), without a
    penalty on the intercept; a phrase's weight is ratio * v. Starting from another fit would leak that fit's labels.

    Args:
        presence: (texts, phrases) float32 ones; `transposed` is its transpose, in rows.
        signs: (texts,) float32: 1 for the label, -1 for others, 0 for texts that are left out.
        sizes: (phrases,) words of each phrase.
        min_documents: texts, of those not left out, that must contain a phrase.
        by_share: whether what `log_ratios` adds to counts follows the label's share, or is 1 for both sides.
        inverse_penalty: C.
    """
    positive, negative = (transposed @ (signs == sign).astype(np.float32) for sign in (1, -1))
    included, penalty = signs != 0, np.float32(1 / inverse_penalty)
    share = float((signs[included] == 1).mean()) if by_share else 0.5
    ratios = log_ratios(positive, negative, sizes, min_documents, share)

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        scales, intercept = point[:-1], point[-1]
        margin = signs * (presence @ (ratios * scales) + intercept)
        slopes = -signs / (1 + np.exp(np.minimum(margin, 80)))  # beyond, a float32 overflows
        gradient = np.append(ratios * (transposed @ slopes) + penalty * scales, slopes.sum())
        losses = np.logaddexp(0, -margin[included]).sum(dtype=np.float64)
        return float(losses + penalty / 2 * (scales @ scales)), gradient

    solution = minimise(objective, np.zeros(len(ratios) + 1, np.float32), iterations)
    return PhraseModel(ratios, solution[:-1] * ratios, float(solution[-1]))


def minimise(objective: Objective, start: np.ndarray, iterations: int, memory: int = 10) -> np.ndarray:
    """Minimise a smooth function by L-BFGS (Nocedal 1980) with backtracking, in the precision of `start`, (unknowns,).

    SciPy's L-BFGS-B takes several times as long with a million unknowns: it supports bounds, in double precision.

    Args:
        objective: returns the function's value at a point, and its gradient.
        iterations: number of steps; fewer are taken if the precision is exhausted.
        memory: steps kept for the curvature.
    """
    point = start
    value, gradient = objective(point)
    steps: list[tuple[np.ndarray, np.ndarray, float]] = []
    for _ in range(iterations):
        if not gradient.any():
            return point
        direction = descent_direction(gradient, steps)
        length, decrease = 1.0, gradient @ direction
        while True:
            candidate = point - point.dtype.type(length) * direction
            new_value, new_gradient = objective(candidate)
            if new_value <= value - ARMIJO * length * decrease:
                break
            length /= 2
            if length < SHORTEST:  # no lower value in a direction of descent: the precision is exhausted
                return point
        move, change = candidate - point, new_gradient - gradient
        if (curvature := float(move @ change)) > 0:
            steps = [*steps, (move, change, curvature)][-memory:]
        point, value, gradient = candidate, new_value, new_gradient
    return point


def descent_direction(gradient: np.ndarray, steps: list[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Return the gradient, scaled by the curvature that earlier steps measured (the two-loop recursion).

    `steps` are moves, changes of the gradient, and their products, the oldest first.
    """
    if not steps:
        return np.asarray(gradient / np.linalg.norm(gradient))
    direction, used = gradient.copy(), []
    for move, change, curvature in reversed(steps):
        used.append((move @ direction) / gradient.dtype.type(curvature))
        direction -= used[-1] * change
    _move, change, curvature = steps[-1]
    direction *= gradient.dtype.type(curvature) / (change @ change)
    for (move, change, curvature), share in zip(steps, reversed(used), strict=True):
        direction += (share - (change @ direction) / gradient.dtype.type(curvature)) * move
    return direction


def signs_of(labels: np.ndarray, label: int = 1) -> np.ndarray:
    """Return 1 for texts of a label and -1 for all others: (n,) float32."""
    return np.where(labels == label, 1, -1).astype(np.float32)


def fix_threads() -> None:
    """Use two threads for linear algebra from now on, however many processors there are or OMP_NUM_THREADS says."""
    import scipy.linalg  # noqa: F401 - brings a library of its own, which must be loaded to be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(THREADS, user_api="blas")
