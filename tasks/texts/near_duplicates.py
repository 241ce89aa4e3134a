"""Near-duplicates: texts that share most of their word pairs, found by MinHash and banding."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from tasks.texts.groups import first_equal
from tasks.texts.sources.splits import hash_all
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import list_offsets

HASHES, BAND = 128, 4  # in 32 bands, a pair at the threshold is missed with a probability of 2 in 10^4
MIN_SIMILARITY = 0.7
TEXTS_AT_ONCE = 1024  # their hashes fit into the processor's cache
ODD = np.uint64(0x9E3779B97F4A7C15)


def hash_words(tokens: pa.ListArray) -> np.ndarray:
    """Return a hash of each word of lists of words: (words,) uint64."""
    words = tokens.flatten().dictionary_encode()
    return np.asarray(hash_all(word.encode() for word in words.dictionary.to_pylist())[words.indices])


def pair_words(hashes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return a hash of each word and the next one of its text; the last one's next is the end of the text.

    `hashes` are (words,) uint64, text after text; `bounds` are (texts + 1,) where each text begins.
    """
    following = np.append(hashes[1:], np.uint64(0))
    following[bounds[1:][np.diff(bounds) > 0] - 1] = 0
    mixed = hashes * ODD ^ following
    mixed = (mixed ^ mixed >> np.uint64(29)) * ODD
    return np.asarray(mixed ^ mixed >> np.uint64(32))


def sign_texts(hashes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the MinHash signatures of texts: (texts, 128) uint16; a text without words has its own.

    Two texts agree in as many places as the Jaccard similarity of their sets of word pairs says (Broder, 1997), of each
    minimum 16 bits are kept (Li and König, 2010). The arguments are those of `pair_words`.
    """
    factors = np.random.RandomState(1).randint(0, 2**31, HASHES).astype(np.uint32) * np.uint32(2) + np.uint32(1)
    signatures = np.zeros((len(bounds) - 1, HASHES), np.uint16)
    pairs = (pair_words(hashes, bounds) >> np.uint64(32)).astype(np.uint32)
    for start in range(0, len(signatures), TEXTS_AT_ONCE):
        edges = bounds[start : start + TEXTS_AT_ONCE + 1]
        filled = np.flatnonzero(np.diff(edges))
        part, begins = pairs[edges[0] : edges[-1]], edges[filled] - edges[0]
        for place, factor in enumerate(factors if len(filled) else ()):
            minima = np.minimum.reduceat(part * factor, begins)
            signatures[start + filled, place] = minima & np.uint32(0xFFFF)
    return signatures


def find_near_pairs(signatures: np.ndarray) -> np.ndarray:
    """Return pairs of rows whose estimated similarity is at least 0.7: (pairs, 2) int64, the lower row first.

    Of many similar texts, each is paired with one or two others in each band, not with all.
    """
    found = [np.zeros((0, 2), np.int64)]
    for band in np.split(signatures, HASHES // BAND, axis=1):
        keys = np.ascontiguousarray(band).view(np.uint64)[:, 0]
        order = np.argsort(keys, kind="stable")
        begins = np.diff(keys[order], prepend=keys[order[:1]] + np.uint64(1)) != 0
        firsts = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
        previous = np.append(order[:1], order[:-1])
        pairs = np.concatenate([np.stack([mates[~begins], order[~begins]], 1) for mates in (firsts, previous)])
        found.append(np.unique(pairs, axis=0))
    candidates = np.unique(np.concatenate(found), axis=0)
    parts = np.array_split(candidates, len(candidates) // TEXTS_AT_ONCE + 1)
    alike = np.concatenate([(signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1) for part in parts])
    return candidates[alike >= MIN_SIMILARITY]


def first_of_cluster(rows: int, pairs: np.ndarray) -> np.ndarray:
    """Return the first row of the cluster of each row: (rows,) int64. `pairs` is (n, 2); clusters are transitive."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))
    _count, cluster = connected_components(edges, directed=False)
    return first_equal(cluster)


def cluster_texts(parts: Iterable[pa.Array], min_words: int = 1) -> np.ndarray:
    """Return the first row of the cluster of near-duplicates of each text: (texts,) int64.

    A text of fewer words than `min_words` is like no other.
    """
    signed, counts = [np.zeros((0, HASHES), np.uint16)], [np.zeros(0, np.int64)]
    for texts in parts:
        tokens = tokenise(texts, "unicode")
        counts.append(np.diff(list_offsets(tokens)))
        signed.append(sign_texts(hash_words(tokens), list_offsets(tokens)))
    signatures, words = np.concatenate(signed), np.concatenate(counts)
    pairs = find_near_pairs(signatures)
    return first_of_cluster(len(signatures), pairs[(words[pairs] >= min_words).all(axis=1)])
