"""Phrases of one to three words: their codes, their counts in texts, and tables of what linear models say of each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.core.errors import DataError
from tasks.texts.vocabulary import list_offsets

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


LONGEST = 3
MAX_VOCABULARY = 2_097_150  # (v + 1) ** 3 < 2 ** 63
MAX_TABLE = 2_000_000_000  # bytes, of at most 2 GB of an ONNX file

Parts = Callable[[], Iterator[pa.ListArray]]


CODES, TABLES, FOLDS, VECTORS = "codes.npy", "tables.npy", "folds.npy", "vectors.npy"


def phrase_codes(words: np.ndarray, offsets: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """Return the codes of the phrases that end at each token, -1 where one would begin before its text.

    Args:
        words: (tokens,) ids below `vocabulary_size`, text after text.
        offsets: (texts + 1,) where each text begins.
        vocabulary_size: v. A phrase is a number with one digit, id + 1 to the base v + 1, per word, so a longer phrase
            has a higher code.

    Returns:
        (3, tokens) int64, for one word, two, three.
    """
    base = vocabulary_size + 1
    digits = words.astype(np.int64) + 1
    place = np.arange(len(words)) - np.repeat(offsets[:-1], np.diff(offsets))
    codes = np.full((LONGEST, len(words)), -1, np.int64)
    codes[0] = digits
    for size in range(1, LONGEST):
        whole = np.flatnonzero(place >= size)
        codes[size, whole] = codes[size - 1, whole] + digits[whole - size] * base**size
    return codes


def codes_of(tokens: pa.ListArray, vocabulary_size: int) -> np.ndarray:
    """Return the `phrase_codes` of token lists."""
    return phrase_codes(tokens.flatten().to_numpy(), list_offsets(tokens), vocabulary_size)


def distinct_phrases(parts: Iterable[pa.ListArray], vocabulary_size: int, *, repeated: bool) -> np.ndarray:
    """Return the phrases of texts, (phrases,) int64 in order; `repeated` leaves out those that occur once."""
    once = often = np.zeros(0, np.int64)
    for tokens in parts:
        codes = codes_of(tokens, vocabulary_size)
        # Whole int64 rows sort many times faster than np.unique does with its counts; `often` counts twice.
        ordered = np.sort(np.concatenate([once, often, often, codes[codes >= 0]]))
        firsts = np.flatnonzero(np.diff(ordered, prepend=-1))
        is_single = np.diff(firsts, append=len(ordered)) == 1
        once, often = ordered[firsts[is_single]], ordered[firsts[~is_single]]
    return often if repeated else np.sort(np.concatenate([once, often]))


def find_phrases(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the place of each code in `known`, or len(known) if it is missing.

    Args:
        codes: int64 of any shape.
        known: (phrases,) int64 in order.

    Returns:
        int32 of the same shape: rows of a table that ends with a row of zeros.
    """
    if not len(known):
        return np.zeros(codes.shape, np.int32)
    flat = codes.ravel()
    order = np.argsort(flat)  # asked for in order, each is near the one before: several times as fast
    places = np.empty(len(flat), np.int64)
    places[order] = np.minimum(np.searchsorted(known, flat[order]), len(known) - 1)
    return np.where(known[places] == flat, places, len(known)).astype(np.int32).reshape(codes.shape)


def count_phrases(parts: Iterable[pa.ListArray], known: np.ndarray, vocabulary_size: int) -> "csr_matrix":
    """Return how often each text contains each phrase in `known`, (phrases,) codes in order: (n, phrases) float32."""
    from scipy.sparse import csr_matrix

    counts, columns, lengths = [np.zeros(0, np.float32)], [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for tokens in parts:
        places = find_phrases(codes_of(tokens, vocabulary_size), known)
        firsts = np.repeat(np.arange(len(tokens), dtype=np.int64) * len(known), np.diff(list_offsets(tokens)))
        pairs = np.sort(np.concatenate([(firsts + place)[place < len(known)] for place in places]))
        begins = np.flatnonzero(np.diff(pairs, prepend=-1))
        rows, phrases = np.divmod(pairs[begins], max(len(known), 1))
        counts.append(np.diff(begins, append=len(pairs)).astype(np.float32))
        columns.append(phrases.astype(np.int32))
        lengths.append(np.bincount(rows, minlength=len(tokens)))
    bounds = np.append(0, np.cumsum(np.concatenate(lengths)))
    return csr_matrix((np.concatenate(counts), np.concatenate(columns), bounds), shape=(len(bounds) - 1, len(known)))


def learn_phrases(parts: Parts, vocabulary_size: int, min_documents: int) -> tuple[np.ndarray, "csr_matrix"]:
    """Return the phrases that at least `min_documents` texts contain, and their counts.

    (phrases,) int64 codes in order, and (texts, phrases) float32. Raise DataError if the vocabulary is too large.
    """
    if vocabulary_size > MAX_VOCABULARY:
        raise DataError(
            f"phrases can be made of at most {MAX_VOCABULARY:,} words, and there are {vocabulary_size:,}; "
            f"keep fewer with --data.num-words {MAX_VOCABULARY}"
        )
    known = distinct_phrases(parts(), vocabulary_size, repeated=min_documents > 1)
    counts = count_phrases(parts(), known, vocabulary_size)
    enough = np.bincount(counts.indices, minlength=len(known)) >= min_documents
    return known[enough], counts[:, enough]


def check_table(phrases: int, numbers: int, flag: str) -> None:
    """Raise DataError, which names `flag`, if a model's file cannot hold so many float32 numbers of each phrase."""
    if 4 * phrases * numbers > MAX_TABLE:
        raise DataError(
            f"{phrases:,} phrases with {numbers:,} numbers each, one or two of each label, do not fit into a model's "
            f"file; raise {flag} to have fewer phrases"
        )


def sizes_of(known: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """Return the number of words, one to three, of each phrase: (phrases,) int8."""
    base = vocabulary_size + 1
    return (1 + (known >= base) + (known >= base**2)).astype(np.int8)


def write_tables(folder: Path, known: np.ndarray, tables: Sequence[np.ndarray], folds: np.ndarray) -> None:
    """Write codes.npy, tables.npy and folds.npy.

    Args:
        known: (phrases,) codes in order.
        tables: (phrases, numbers) float32 of the other folds for each fold, and last of all training texts.
        folds: (texts,) fold of each training text.
    """
    np.save(folder / CODES, known)
    # Each table ends with a row of zeros, for unknown phrases.
    np.save(folder / TABLES, np.pad(np.stack(tables), ((0, 0), (0, 1), (0, 0))))
    np.save(folder / FOLDS, folds)


def read_table(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return codes, (phrases,) int64, and the numbers of all training texts, (phrases + 1, numbers), the last row 0."""
    return np.load(folder / CODES), np.array(np.load(folder / TABLES, mmap_mode="r")[-1])


@dataclass(frozen=True)
class PhraseReader:
    """The numbers for the tokens of padded texts.

    Attributes:
        known: (phrases,) codes.
        tables: (folds + 1, phrases + 1, numbers) of the other folds, and last of all training texts.
        folds: (texts,) the table for each text.
    """

    vocabulary_size: int
    known: np.ndarray
    tables: np.ndarray
    folds: np.ndarray

    @property
    def width(self) -> int:
        """Numbers per token."""
        return LONGEST * int(self.tables.shape[-1])

    def for_others(self, reviews: int) -> "PhraseReader":
        """Return a reader for n texts outside training, which uses the table of all training texts."""
        return replace(self, folds=np.full(reviews, len(self.tables) - 1))

    def __call__(self, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return r1 r2 r3 w1 w2 w3 for each token: (rows, length, width) float32.

        Args:
            tokens: (rows, length) int32.
            rows: (rows,) numbers of these texts.
        """
        starts = np.arange(len(tokens) + 1) * tokens.shape[1]
        codes = phrase_codes(tokens.ravel(), starts, self.vocabulary_size)
        places = find_phrases(codes, self.known).reshape(-1, *tokens.shape)
        numbers = self.tables[self.folds[rows][None, :, None], places]
        return np.asarray(numbers.transpose(1, 2, 3, 0).reshape(*tokens.shape, self.width))


def read_phrases(folder: Path, vocabulary_size: int) -> PhraseReader:
    """Return the reader for training texts from the files of the step `phrases`."""
    known, tables, folds = (np.load(folder / name) for name in (CODES, TABLES, FOLDS))
    return PhraseReader(vocabulary_size, known, tables, folds)
