"""Out of fold: phrase numbers for a text, learned only from the texts of other groups."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.linear.naive_bayes import PhraseModel, fit_phrases, signs_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CUT = 5.0  # standard deviations


@dataclass(frozen=True)
class Learned:
    """Linear models of all texts, one for each label in `labels_to_fit`, and for each fold of the others.

    `logits` are (texts, models) float32 of each text by the models that have not seen its fold.
    """

    whole: list[PhraseModel]
    held_out: list[list[PhraseModel]]
    logits: np.ndarray


def learn_folds(
    counts: "csr_matrix", labels: np.ndarray, sizes: np.ndarray, folds: np.ndarray, *, keep: bool = True, **rules: Any
) -> Learned:
    """Fit models on all texts, and for each fold, if there are any, on the others.

    Args:
        counts: (texts, phrases) occurrences, which count once for each text.
        labels: (texts,) from 0.
        sizes: (phrases,) words of each phrase.
        folds: (texts,) from 0; -1 is none.
        keep: whether to return the folds' models, and not their logits alone; with many labels they take gigabytes.
        rules: min_documents, by_share, inverse_penalty and iterations of `fit_phrases`.
    """
    presence = counts.sign()
    transposed = presence.T.tocsr()

    def fit(left_out: np.ndarray) -> list[PhraseModel]:
        signs = (np.where(left_out, np.float32(0), signs_of(labels, label)) for label in labels_to_fit(labels))
        return [fit_phrases(presence, transposed, each, sizes, **rules) for each in signs]

    whole, held_out = fit(np.zeros(len(labels), bool)), []
    logits = np.zeros((len(labels), len(whole)), np.float32)
    for fold in range(int(folds.max()) + 1):
        models, rows = fit(folds == fold), np.flatnonzero(folds == fold)
        logits[rows] = logits_of(models, presence[rows])
        held_out += [models] if keep else []
    return Learned(whole, held_out, logits)


def labels_to_fit(labels: np.ndarray) -> list[int]:
    """Return the labels that need a model of their own: only the second of two."""
    count = int(labels.max()) + 1
    return [1] if count <= 2 else list(range(count))


def logits_of(models: list[PhraseModel], presence: "csr_matrix") -> np.ndarray:
    """Return the logit of each text by each model: (texts, models) float32."""
    return np.stack([presence @ model.weights + np.float32(model.intercept) for model in models], axis=1)


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Return (n,) float32 probabilities of label 1 from (n, 1) logits, or (n, labels) that add up to 1."""
    from scipy.special import expit, log_expit, softmax

    return np.asarray(expit(logits[:, 0]) if logits.shape[1] == 1 else softmax(log_expit(logits), axis=1))


def numbers_of(models: list[PhraseModel]) -> np.ndarray:
    """Return all ratios, then all weights of each phrase: (phrases, 2 models) float32."""
    return np.stack([model.ratios for model in models] + [model.weights for model in models], axis=1)


def deviations_of(
    learned: Learned, counts: "csr_matrix", sizes: np.ndarray, folds: np.ndarray, tokens: int
) -> np.ndarray:
    """Return the standard deviation of each number over all tokens, by the length of the phrase that ends there.

    Each token counts with the numbers of the models that have not seen its text, or 0 if no known phrase ends there.
    Arrays are those of `learn_folds`; `tokens` is the number of tokens of all texts.

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
    return np.asarray(np.sqrt(np.where(variances > 0, variances, 1)))


def scale_numbers(models: list[PhraseModel], sizes: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Return numbers in standard deviations, clipped at 5: (phrases, numbers) float32."""
    return np.asarray(np.clip(numbers_of(models) / deviations[sizes - 1], -CUT, CUT), np.float32)
