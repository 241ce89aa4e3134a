"""Folds: what phrases say about a review, learned from the reviews of other groups alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.linear.naive_bayes import PhraseModel, fit_phrases, presence_of, signs_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CUT = 5.0  # standard deviations


@dataclass(frozen=True)
class Learned:
    """Linear models of all reviews and of all folds but one.

    Attributes:
        whole: of all reviews, a model for each label that is held against the rest.
        held_out: for each fold the models of the others.
        logits: (reviews, models) float32 of each review by the models that have not seen its fold.
    """

    whole: list[PhraseModel]
    held_out: list[list[PhraseModel]]
    logits: np.ndarray


def learn_folds(
    counts: "csr_matrix",
    labels: np.ndarray,
    sizes: np.ndarray,
    folds: np.ndarray,
    *,
    min_documents: int,
    inverse_penalty: float,
    iterations: int,
) -> Learned:
    """Fit models on all reviews, and for each fold on the others.

    Args:
        counts: (reviews, phrases) how often each review holds each phrase.
        labels: (reviews,) from 0; two labels take one model, more take one each.
        sizes: (phrases,) words of each phrase.
        folds: (reviews,) from 0.
        min_documents: as `fit_phrases` takes it, and so are the rest.
        inverse_penalty: C.
        iterations: steps of the descent.
    """
    presence = presence_of(counts)
    turned = presence.T.tocsr()

    def fit(left_out: np.ndarray) -> Iterator[PhraseModel]:
        for label in labels_to_fit(labels):
            signs = np.where(left_out, np.float32(0), signs_of(labels, label))
            yield fit_phrases(
                presence,
                turned,
                signs,
                sizes,
                min_documents=min_documents,
                inverse_penalty=inverse_penalty,
                iterations=iterations,
            )

    held_out = [list(fit(folds == fold)) for fold in range(int(folds.max()) + 1)]
    logits = np.zeros((len(labels), len(held_out[0])), np.float32)
    for fold, models in enumerate(held_out):
        rows = np.flatnonzero(folds == fold)
        logits[rows] = logits_of(models, presence[rows])
    return Learned(list(fit(np.zeros(len(labels), bool))), held_out, logits)


def labels_to_fit(labels: np.ndarray) -> list[int]:
    """Return the labels that need a model of their own: of two, the second says all."""
    count = int(labels.max()) + 1
    return [1] if count <= 2 else list(range(count))


def logits_of(models: list[PhraseModel], presence: "csr_matrix") -> np.ndarray:
    """Return the logit of each review by each model: (reviews, models) float32."""
    return np.stack([model.logits(presence) for model in models], axis=1)


def numbers_of(models: list[PhraseModel]) -> np.ndarray:
    """Return what models say about each phrase, all ratios and then all weights: (phrases, 2 models) float32."""
    return np.stack([model.ratios for model in models] + [model.weights for model in models], axis=1)


def deviations_of(
    learned: Learned, counts: "csr_matrix", sizes: np.ndarray, folds: np.ndarray, tokens: int
) -> np.ndarray:
    """Return the standard deviation of each number over the tokens that phrases of each length end at.

    Each token counts with what the models say that have not seen its review; where no known phrase ends, with 0.

    Args:
        learned: the models.
        counts: (reviews, phrases).
        sizes: (phrases,) words of each phrase.
        folds: (reviews,) from 0.
        tokens: of all reviews.

    Returns:
        (longest, numbers) float64; 1 where all numbers are equal.
    """
    longest = int(sizes.max(initial=1))
    sums = np.zeros((2, longest, 2 * len(learned.whole)))
    for fold, models in enumerate(learned.held_out):
        counted = np.asarray(counts[np.flatnonzero(folds == fold)].sum(axis=0), np.float64).ravel()
        for column, numbers in enumerate(numbers_of(models).T.astype(np.float64)):
            for power in (1, 2):
                weights = counted * numbers**power
                sums[power - 1, :, column] += np.bincount(sizes, weights=weights, minlength=longest + 1)[1:]
    variances = sums[1] / tokens - (sums[0] / tokens) ** 2
    deviations: np.ndarray = np.sqrt(np.where(variances > 0, variances, 1))
    return deviations


def scale_numbers(models: list[PhraseModel], sizes: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Return what models say in standard deviations, cut at 5: (phrases, numbers) float32."""
    scaled: np.ndarray = np.clip(numbers_of(models) / deviations[sizes - 1], -CUT, CUT)
    return scaled.astype(np.float32)
