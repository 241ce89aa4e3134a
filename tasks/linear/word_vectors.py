"""Word vectors from the training texts alone: positive pointwise mutual information, then a randomised SVD."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.texts.vocabulary import list_offsets

# scikit-learn and SciPy are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WINDOW = 5


def cooccurrence(parts: Iterable[pa.ListArray], size: int, window: int = WINDOW) -> "csr_matrix":
    """Return how often words occur near each other, weighted by 1 / distance, in both directions: (size, size) float32.

    `parts` are lists of token ids; ids from `size` on only count for the distance, which is at most `window`.
    """
    from scipy.sparse import csr_matrix

    total = csr_matrix((size, size), dtype=np.float32)
    for tokens in parts:
        words = tokens.flatten().to_numpy().astype(np.int32)
        rows = np.repeat(np.arange(len(tokens), dtype=np.int32), np.diff(list_offsets(tokens)))
        for distance in range(1, window + 1):
            near = (rows[:-distance] == rows[distance:]) & (words[:-distance] < size) & (words[distance:] < size)
            pairs = words[:-distance][near], words[distance:][near]
            total = total + csr_matrix((np.full(len(pairs[0]), 1 / distance, np.float32), pairs), shape=(size, size))
    return (total + total.T).tocsr()


def word_vectors(counts: "csr_matrix", dim: int, *, norm: float, seed: int, power: float = 0.75) -> np.ndarray:
    """Return U sqrt(S) of the positive pointwise mutual information: (size, dim) float32, zeros for unseen words.

    Args:
        counts: (size, size) float32 of `cooccurrence`.
        dim: of a vector, at most size.
        seed: of the randomised SVD.
        power: of the context counts, which weakens rare contexts (Levy, Goldberg and Dagan 2015).
    """
    from scipy.sparse import csr_matrix
    from sklearn.utils.extmath import randomized_svd

    pairs = counts.tocoo()
    sums = np.asarray(pairs.sum(axis=1), np.float64).ravel()
    contexts = sums**power
    information = np.log(pairs.data * contexts.sum() / (sums[pairs.row] * contexts[pairs.col]))
    is_positive = information > 0
    places = pairs.row[is_positive], pairs.col[is_positive]
    matrix = csr_matrix((information[is_positive].astype(np.float32), places), shape=counts.shape)
    left, strengths, _right = randomized_svd(matrix, dim, n_iter=4, random_state=seed)
    vectors = left * np.sqrt(strengths)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    is_seen = sums[:, None] > 0
    scaled: np.ndarray = np.where(is_seen & (lengths > 0), norm * vectors / np.maximum(lengths, 1e-12), 0)
    return scaled.astype(np.float32)
