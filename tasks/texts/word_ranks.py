"""Word ranks: the texts and labels of a download in any format as word ranks, part by part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.errors import DataError
from tasks.texts.dataset import TEXTS, Dataset, label_dtype
from tasks.texts.encoded import ROWS_PER_GROUP
from tasks.texts.groups import block_of
from tasks.texts.shuffle import SHUFFLED
from tasks.texts.sources import imdb, npz
from tasks.texts.tables.reading import MAX_BATCH_BYTES, iterate_rows, regroup
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import WordCounts, words_to_ranks

ROWS_PER_PART = 4096  # of texts, which as words take several times their own memory


@dataclass(frozen=True)
class WordRanks:
    """Texts as word ranks.

    Attributes:
        vocabulary: words in order of rank; empty if unknown.
        label_names: from label 0 on.
        labels: of each split, (n,) int8 or int16, in the order of the parts.
        highest_rank: of all splits; 0 without words.
        parts: for each split a function that yields lists of int32 ranks, at most 8,192 at a time.
        groups: (n,) group of each training text.
        name_row: says where a row of a split comes from, for messages.
    """

    vocabulary: list[str]
    label_names: tuple[str, ...]
    labels: dict[str, np.ndarray]
    highest_rank: int
    parts: dict[str, Callable[[], Iterator[pa.ListArray]]]
    groups: np.ndarray
    name_row: Callable[[str, int], str]


def read_word_ranks(downloaded: Path, rule: str) -> WordRanks:
    """Return the texts of a folder with imdb.npz and its word index, or with texts.parquet.

    Raises:
        DataError: IMDB's arrays, which are tokenised already, cannot follow another rule than "keras".
    """
    if (downloaded / imdb.NPZ).exists():
        if rule != "keras":
            raise DataError(f"IMDB's arrays are tokenised by the rule keras, not {rule}; leave --data.tokenisation out")
        return read_arrays(downloaded)
    return read_texts(downloaded / TEXTS, rule, Dataset.read(downloaded).labels)


def read_arrays(downloaded: Path) -> WordRanks:
    """Return the texts of Keras's arrays: each split is one pickle, so it is in memory as a whole."""
    index = downloaded / imdb.WORD_INDEX
    splits = {split: npz.read_ranks(downloaded / imdb.NPZ, split) for split in npz.KERAS_SPLITS}
    return WordRanks(
        vocabulary=imdb.read_word_index(index, str(index)) if index.exists() else [],
        label_names=Dataset.read(downloaded).labels,
        labels={split: labels for split, (_lists, labels) in splits.items()},
        highest_rank=max(pc.max(lists.flatten()).as_py() or 0 for lists, _labels in splits.values()),
        parts={split: partial(slice_lists, lists) for split, (lists, _labels) in splits.items()},
        groups=block_of(splits["train"][1]),
        name_row=lambda split, row: f"review {row} of x_{split}",
    )


def slice_lists(lists: pa.ListArray) -> Iterator[pa.ListArray]:
    """Yield lists in parts."""
    return (lists.slice(start, ROWS_PER_GROUP) for start in range(0, len(lists), ROWS_PER_GROUP))


def read_texts(path: Path, rule: str, label_names: tuple[str, ...]) -> WordRanks:
    """Return the texts of texts.parquet, tokenised each time they are read; training texts make the vocabulary."""
    counts = WordCounts()
    for texts in iterate_column(path, "train", "text"):
        counts.add(tokenise(texts, rule))
    vocabulary = counts.by_frequency()
    kind = label_dtype(len(label_names))
    labels = {split: np.concatenate([np.zeros(0, kind), *iterate_column(path, split, "label")]) for split in SHUFFLED}
    if not len(labels["validation"]):
        del labels["validation"]  # pad cuts it from the end of the training reviews
    words = pa.array(vocabulary, pa.string())
    return WordRanks(
        vocabulary,
        label_names,
        labels,
        highest_rank=len(vocabulary),
        parts={split: partial(rank_texts, path, split, words, rule) for split in labels},
        groups=groups_of(path, labels["train"]),
        name_row=partial(name_text, path),
    )


def groups_of(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return the group of each training text, from its column or its place: (n,) int64."""
    if "group" not in pq.read_schema(path).names:
        return block_of(labels)
    names = pa.chunked_array(iterate_column(path, "train", "group")).combine_chunks()
    number: np.ndarray = names.dictionary_encode().indices.to_numpy()
    return number.astype(np.int64)


def name_text(path: Path, split: str, row: int) -> str:
    """Return the origin of a split's text, if texts.parquet names it."""
    if not {"file", "row"} <= set(pq.read_schema(path).names):
        return f"{split} text {row + 1}"
    place = pq.read_table(path, columns=["file", "row"], filters=[("split", "=", split)]).slice(row, 1).to_pylist()[0]
    return f"{place['file']} row {place['row']}"


def iterate_column(path: Path, split: str, column: str) -> Iterator[pa.Array]:
    """Yield a column of one split's rows, part by part."""
    for batch in regroup(iterate_rows(path, ["split", column]), ROWS_PER_PART, MAX_BATCH_BYTES):
        yield batch.filter(pc.equal(batch["split"], split))[column]


def rank_texts(path: Path, split: str, vocabulary: pa.Array, rule: str) -> Iterator[pa.ListArray]:
    """Yield the word ranks of one split's texts."""
    for texts in iterate_column(path, split, "text"):
        yield words_to_ranks(tokenise(texts, rule), vocabulary)
