"""Text statistics: lengths, scripts, repeated texts, and how far a split differs from training's."""

from typing import Any

import numpy as np

from tasks.data_checks.read_texts import PLACES
from tasks.evaluation.drift import LENGTH_BINS, stability_index
from tasks.texts.downloaded import ROWS_PER_PART
from tasks.texts.near_duplicates import find_near_pairs, first_of_cluster, pair_words, sign_texts
from tasks.texts.sources.splits import TEST, TRAIN, VALIDATION

SCRIPTS, WORD_BINS, WORDS_PER_BIN, MIN_ROWS = 5, 1000, 100, 200


def measure_scripts(scripts: list[str], vocabulary: list[str], counts: np.ndarray) -> dict[str, float]:
    """Return the share of letters of the five most frequent scripts; `counts` says how often each word occurs."""
    names, number = np.unique(scripts, return_inverse=True)
    letters = np.bincount(number, counts * np.array([len(word) for word in vocabulary])) * (names != "")
    order = np.argsort(-letters, kind="stable")[:SCRIPTS]
    return {str(names[place]): float(letters[place] / letters.sum()) for place in order if letters[place]}


def describe_split(labels: np.ndarray, lengths: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the rows of a split, those of each label, and the median, 95th percentile and maximum of their words."""
    counts = np.bincount(labels, minlength=len(names)).tolist()
    median, most, longest = np.quantile(lengths, [0.5, 0.95, 1]).tolist()
    words = {"median": median, "p95": most, "longest": longest}
    return {"rows": len(labels), "labels": dict(zip(names, counts, strict=True)), "words": words}


def measure_shifts(
    words: np.ndarray, lengths: np.ndarray, splits: np.ndarray, size: int
) -> dict[str, dict[str, float]]:
    """Return the stability index of lengths and of words against training, for splits with at least 200 rows.

    Args:
        words: (words,) places in a vocabulary with `size` words, text after text.
        lengths: (n,) words of each text.
        splits: (n,) places in `PLACES`.
    """
    edges = np.unique(np.quantile(lengths[splits == TRAIN], np.arange(1, LENGTH_BINS) / LENGTH_BINS))
    split_of_word = np.repeat(splits, lengths)
    shifts = {}
    for place in (VALIDATION, TEST):
        if min((splits == TRAIN).sum(), (splits == place).sum()) < MIN_ROWS:
            continue
        counts = [np.bincount(words[split_of_word == its], minlength=size) for its in (TRAIN, place)]
        bins_of_texts = (np.searchsorted(edges, lengths[splits == its]) for its in (TRAIN, place))
        in_bins = (np.bincount(its, minlength=len(edges) + 1).tolist() for its in bins_of_texts)
        # Words of their own bin are frequent enough for their shares to differ little by chance.
        bins = min(WORD_BINS, int(min(its.sum() for its in counts)) // WORDS_PER_BIN)
        frequent = np.argsort(-counts[0], kind="stable")[:bins]
        both = ([*its[frequent].tolist(), int(its.sum() - its[frequent].sum())] for its in counts)
        shifts[PLACES[place]] = {"length": stability_index(*in_bins), "words": stability_index(*both)}
    return shifts


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
