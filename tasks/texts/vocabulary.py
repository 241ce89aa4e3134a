"""Vocabulary: word counts, and words to ranks and ids, with NumPy and Arrow only."""

import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.texts.encoded import Encoding

UNRANKED = 0  # the rank of a word that is not in the vocabulary


def rank_words(parts: Iterable[pa.ListArray]) -> list[str]:
    """Return every word of lists of words, the most frequent first; ties are broken by first appearance."""
    counts = Counter[str]()
    for tokens in parts:
        words, times = pc.value_counts(tokens.flatten()).flatten()
        counts.update(dict(zip(words.to_pylist(), times.to_pylist(), strict=True)))
    return [word for word, _count in counts.most_common()]


def words_to_ranks(tokens: pa.ListArray, vocabulary: pa.Array) -> pa.ListArray:
    """Replace words by int32 ranks, 1 for the most frequent, or `UNRANKED` if they are not in the vocabulary.

    The vocabulary, distinct strings in order of rank, is looked up among the words instead of the reverse: Arrow
    builds a hash table of the set on each call, which for a few words takes a tenth of the time that the whole
    vocabulary takes.
    """
    words = tokens.flatten().dictionary_encode()
    places = pc.index_in(vocabulary, value_set=words.dictionary)
    ranks = np.full(len(words.dictionary), UNRANKED, np.int32)
    ranks[places.drop_null().to_numpy()] = 1 + np.flatnonzero(places.is_valid())
    return pa.ListArray.from_arrays(list_offsets(tokens), ranks[words.indices.to_numpy()])


def count_words(ranks: pa.ListArray, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of each text, and how many have no rank or no id in the vocabulary: two (n,) int32."""
    offsets, values = list_offsets(ranks), ranks.flatten().to_numpy()
    is_unknown = (values == UNRANKED) | (values >= encoding.vocabulary_size - encoding.index_from)
    before = np.concatenate([[0], np.cumsum(is_unknown, dtype=np.int64)])
    return np.diff(offsets).astype(np.int32), np.diff(before[offsets]).astype(np.int32)


def select(lists: pa.ListArray, kept: np.ndarray, values: pa.Array) -> pa.ListArray:
    """Return lists with new values, of which only those marked by `kept`, (v,) bool, remain."""
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return pa.ListArray.from_arrays(before[list_offsets(lists)], values.filter(kept))


def list_offsets(lists: pa.ListArray) -> np.ndarray:
    """Return where each list begins in `lists.flatten()`, and where the last ends: (n + 1,) int64."""
    offsets = np.asarray(lists.offsets, np.int64)
    return offsets - int(offsets[0])


def ranks_to_ids(ranks: pa.ListArray, encoding: Encoding) -> pa.ListArray:
    """Turn word ranks into token ids by the rules of keras.datasets.imdb.load_data.

    Words without a rank are dropped, as Keras's Tokenizer does, which produced those arrays.

    Args:
        ranks: n lists of ranks, 1 for the most frequent word, or `UNRANKED`.
        encoding: ids end below its vocabulary size; a higher one, even `start_char`, becomes `oov_char`.

    Returns:
        n lists of ids, uint16 if every id fits, else int32.
    """
    is_ranked = pc.not_equal(ranks.flatten(), UNRANKED)
    if not pc.all(is_ranked).as_py():
        ranks = select(ranks, np.asarray(is_ranked), ranks.flatten())
    offsets = list_offsets(ranks)
    ids = ranks.flatten().to_numpy(zero_copy_only=False).astype(np.int32) + np.int32(encoding.index_from)
    if encoding.start_char is not None:
        ids, offsets = np.insert(ids, offsets[:-1], encoding.start_char), offsets + np.arange(len(offsets))
    kept = (ids >= encoding.skip_top) & (ids < encoding.vocabulary_size)
    largest = max(encoding.vocabulary_size - 1, encoding.start_char or 0, encoding.oov_char or 0)
    dtype = np.uint16 if largest <= np.iinfo(np.uint16).max else np.int32
    values = pa.array(np.where(kept, ids, encoding.oov_char or 0).astype(dtype))
    lists = pa.ListArray.from_arrays(offsets, values)
    return lists if encoding.oov_char is not None else select(lists, kept, values)


def compose(word: str) -> str:
    """Return a word with its accents composed (NFC); the rule "unicode" decomposes them."""
    return unicodedata.normalize("NFC", word)
