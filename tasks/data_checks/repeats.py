"""Repeats: texts that repeat an earlier one word for word or nearly, and equal texts with different labels."""

import numpy as np

from tasks.data_checks.checked_texts import PLACES
from tasks.texts.downloaded import ROWS_PER_PART
from tasks.texts.near_duplicates import find_near_pairs, first_of_cluster, pair_words, sign_texts


def number_repeats(words: np.ndarray, bounds: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a number that equal texts share, and one that near-duplicates share: two (n,) int64.

    Equal are texts with the same pairs of words, so in practice with the same words.

    Args:
        words: (words,) places in `hashes`, text after text.
        bounds: (n + 1,) where each text begins.
        hashes: (vocabulary,) uint64 of each word.
    """
    sums, signatures = [], []
    for start in range(0, len(bounds) - 1, ROWS_PER_PART):
        edges = bounds[start : start + ROWS_PER_PART + 1]
        part, edges = hashes[words[edges[0] : edges[-1]]], edges - edges[0]
        sums.append(np.diff(np.append(np.uint64(0), np.cumsum(pair_words(part, edges)))[edges]))
        signatures.append(sign_texts(part, edges))
    equal = np.unique(np.concatenate(sums), return_inverse=True)[1]
    return equal, first_of_cluster(len(equal), find_near_pairs(np.concatenate(signatures)))


def first_mates(numbers: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Return for each row the first row with its number, in training if there is one: (n,) int64.

    Args:
        numbers: (n,) integers, equal for rows that repeat each other.
        splits: (n,) places in `PLACES`; rows that were removed count as training rows.
    """
    order = np.lexsort((splits % (len(PLACES) - 1), numbers))
    _number, firsts, places = np.unique(numbers[order], return_index=True, return_inverse=True)
    mates = np.empty(len(numbers), np.int64)
    mates[order] = order[firsts[places]]
    return mates


def is_conflicting(mates: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which rows have an equal text with another label: (n,) bool. `mates` is the result of `first_mates`."""
    return np.isin(mates, mates[labels != labels[mates]])
