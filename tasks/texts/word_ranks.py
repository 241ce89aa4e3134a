"""WordRanks reviews: word ranks and labels of a download, part by part, whatever form the download has."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.errors import DataError
from tasks.texts.dataset import TEXTS, label_dtype, read_dataset
from tasks.texts.encoded import ROWS_PER_GROUP, open_streaming
from tasks.texts.groups import block_of
from tasks.texts.shuffle import SHUFFLED
from tasks.texts.sources import imdb, npz
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import WordCounts, count_occurrences, words_to_ranks

ROWS_PER_PART = 4096  # of texts, which as words take several times their own memory


@dataclass(frozen=True)
class WordRanks:
    """Reviews as word ranks.

    Attributes:
        vocabulary: the words in order of rank; empty if they are not known.
        label_names: from label 0 on.
        labels: for each split the label of every review, (n,) int8 or int16, in the order of the parts.
        highest_rank: of all splits; 0 where there is no word.
        parts: for each split a function that yields its reviews anew, at most 8,192 at a time: lists of int32 ranks.
        groups: (n,) of each training review; those of one group are about one thing, as a film.
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
    """Return the reviews of a folder with imdb.npz and its word index, or with texts.parquet.

    Args:
        downloaded: the folder.
        rule: of tokenising; the arrays of imdb.npz are words already, by the rule "keras".

    Raises:
        DataError: another rule is wanted of them.
    """
    if (downloaded / imdb.NPZ).exists():
        if rule != "keras":
            raise DataError(
                f"the arrays of IMDB were tokenised by the rule keras, not {rule}; leave data.tokenisation out"
            )
        return read_arrays(downloaded)
    return read_texts(downloaded / TEXTS, rule, read_dataset(downloaded).labels)


def read_arrays(downloaded: Path) -> WordRanks:
    """Return the reviews of Keras's arrays: each split is one pickle, so it is in memory whole."""
    index = downloaded / imdb.WORD_INDEX
    splits = {split: npz.read_ranks(downloaded / imdb.NPZ, split) for split in npz.KERAS_SPLITS}
    return WordRanks(
        vocabulary=imdb.read_word_index(index, str(index)) if index.exists() else [],
        label_names=read_dataset(downloaded).labels,
        labels={split: labels for split, (_lists, labels) in splits.items()},
        highest_rank=max(pc.max(lists.flatten()).as_py() or 0 for lists, _labels in splits.values()),
        parts={split: partial(slices, lists) for split, (lists, _labels) in splits.items()},
        groups=block_of(splits["train"][1]),
        name_row=lambda split, row: f"review {row} of x_{split}",
    )


def slices(lists: pa.ListArray) -> Iterator[pa.ListArray]:
    """Yield lists in parts."""
    for start in range(0, len(lists), ROWS_PER_GROUP):
        yield lists.slice(start, ROWS_PER_GROUP)


def read_texts(path: Path, rule: str, label_names: tuple[str, ...]) -> WordRanks:
    """Return raw reviews (the columns split, label and text), tokenised anew each time they are read.

    The vocabulary is built from the training reviews alone.
    """
    counts = WordCounts()
    for texts in iterate_column(path, "train", "text"):
        counts.add(count_occurrences(tokenise(texts, rule)))
    vocabulary = counts.by_frequency()
    kind = label_dtype(len(label_names))
    labels = {split: read_labels(path, split).astype(kind) for split in SHUFFLED}
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


def read_labels(path: Path, split: str) -> np.ndarray:
    """Return the labels of one split's reviews: (n,) integers."""
    labels = [batch.to_numpy() for batch in iterate_column(path, split, "label")]
    return np.concatenate([np.zeros(0, np.int8), *labels])


def groups_of(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return the group of each training review, as its column says or as its place does: (n,) int64."""
    if "group" not in pq.read_schema(path).names:
        return block_of(labels)
    names = pa.chunked_array(iterate_column(path, "train", "group")).combine_chunks()
    number: np.ndarray = names.dictionary_encode().indices.to_numpy()
    return number.astype(np.int64)


def name_text(path: Path, split: str, row: int) -> str:
    """Return the file and row that the text in the given row of a split comes from, if texts.parquet says so."""
    if not {"file", "row"} <= set(pq.read_schema(path).names):
        return f"{split} review {row + 1}"
    place = pq.read_table(path, columns=["file", "row"], filters=[("split", "=", split)]).slice(row, 1).to_pylist()[0]
    return f"{place['file']} row {place['row']}"


def iterate_column(path: Path, split: str, column: str) -> Iterator[pa.Array]:
    """Yield a column of one split's rows, part by part."""
    with open_streaming(path) as file:
        for batch in file.iter_batches(ROWS_PER_PART, columns=["split", column]):
            yield batch.filter(pc.equal(batch["split"], split))[column]


def rank_texts(path: Path, split: str, vocabulary: pa.Array, rule: str) -> Iterator[pa.ListArray]:
    """Yield the word ranks of one split's texts, with `UNRANKED` for words that training does not have."""
    for texts in iterate_column(path, split, "text"):
        yield words_to_ranks(tokenise(texts, rule), vocabulary)
