"""Downloaded texts in any format, part by part: as word ranks, and as hashes that recognise a text anywhere."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.data_settings import OrderSettings
from tasks.texts.dataset_info import TEXTS, Dataset, label_dtype
from tasks.texts.encoded import ROWS_PER_GROUP
from tasks.texts.groups import block_of, first_equal
from tasks.texts.shuffle import SHUFFLED, order_texts
from tasks.texts.sources import imdb
from tasks.texts.sources.splits import hash_all
from tasks.texts.tables.reading import iterate_rows
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import rank_words, words_to_ranks

ROWS_PER_PART = 4096  # of texts, which as words take several times their own memory


@dataclass(frozen=True)
class WordRanks:
    """Texts as word ranks.

    Attributes:
        vocabulary: words in order of rank; empty if unknown.
        labels: of each split, (n,) int8 or int16, in the order of the parts.
        highest_rank: of all splits; 0 without words.
        parts: for each split a function that yields lists of int32 ranks, at most 8,192 at a time.
        groups: (n,) group of each training text.
        name_row: says where a row of a split comes from, for messages.
    """

    vocabulary: list[str]
    labels: dict[str, np.ndarray]
    highest_rank: int
    parts: dict[str, Callable[[], Iterator[pa.ListArray]]]
    groups: np.ndarray
    name_row: Callable[[str, int], str]


def read_word_ranks(downloaded: Path, rule: str) -> WordRanks:
    """Return the texts of a folder with imdb.npz, which are tokenised already, or with texts.parquet."""
    return read_arrays(downloaded) if (downloaded / imdb.NPZ).exists() else read_texts(downloaded, rule)


def read_arrays(downloaded: Path) -> WordRanks:
    """Return the texts of Keras's arrays: each split is one pickle, so it is in memory as a whole."""
    index = downloaded / imdb.WORD_INDEX
    splits = {split: imdb.read_ranks(downloaded / imdb.NPZ, split) for split in imdb.KERAS_SPLITS}
    return WordRanks(
        vocabulary=imdb.read_word_index(index, str(index)) if index.exists() else [],
        labels={split: labels for split, (_lists, labels) in splits.items()},
        highest_rank=max(pc.max(lists.flatten()).as_py() or 0 for lists, _labels in splits.values()),
        parts={split: partial(slice_lists, lists) for split, (lists, _labels) in splits.items()},
        groups=block_of(splits["train"][1]),
        name_row=lambda split, row: f"review {row} of x_{split}",
    )


def slice_lists(lists: pa.ListArray) -> Iterator[pa.ListArray]:
    """Yield lists in parts."""
    return (lists.slice(start, ROWS_PER_GROUP) for start in range(0, len(lists), ROWS_PER_GROUP))


def read_texts(downloaded: Path, rule: str) -> WordRanks:
    """Return the texts of texts.parquet, tokenised each time they are read; training texts make the vocabulary."""
    path = downloaded / TEXTS
    vocabulary = rank_words(tokenise(texts, rule) for texts in iterate_column(path, "train", "text"))
    labels = read_labels(downloaded)
    words = pa.array(vocabulary, pa.string())
    return WordRanks(
        vocabulary,
        labels,
        highest_rank=len(vocabulary),
        parts={split: partial(rank_texts, path, split, words, rule) for split in labels},
        groups=groups_of(path, labels["train"]),
        name_row=partial(name_text, downloaded),
    )


def read_labels(downloaded: Path) -> dict[str, np.ndarray]:
    """Return the labels of each split: (n,) int8 or int16, in the download's order."""
    if (downloaded / imdb.NPZ).exists():
        return {split: imdb.read_labels(downloaded / imdb.NPZ, f"y_{split}.npy") for split in imdb.KERAS_SPLITS}
    path, kind = downloaded / TEXTS, label_dtype(len(Dataset.read(downloaded).labels))
    labels = {split: np.concatenate([np.zeros(0, kind), *iterate_column(path, split, "label")]) for split in SHUFFLED}
    if not len(labels["validation"]):
        del labels["validation"]  # encode cuts it from the end of the training texts
    return labels


def read_rows(downloaded: Path, split: str, rows: np.ndarray) -> pa.Table:
    """Return file, row and text of some texts of a split; the text is null if its words are unknown.

    `rows` are (n,) rising numbers in the download's order, from 0. If it names no file and row, they are the split and
    the number from 1.
    """
    path = downloaded / TEXTS
    if path.exists():
        names = [name for name in ("file", "row", "text") if name in pq.read_schema(path).names]
        parts = iterate_rows(path, ["split", *names], ROWS_PER_PART)
        batches = (part.filter(pc.equal(part["split"], split)) for part in parts)
    else:
        parts = iterate_arrays(downloaded, split, with_texts=True)
        batches = (
            pa.record_batch({"text": pa.nulls(len(hashes), pa.string()) if texts is None else texts})
            for hashes, texts in parts
        )
    table = take_rows(batches, rows)
    if "file" not in table.column_names:
        table = table.append_column("file", pa.repeat(split, len(rows))).append_column("row", pa.array(rows + 1))
    return table.select(["file", "row", "text"])


def take_rows(batches: Iterable[pa.RecordBatch], rows: np.ndarray) -> pa.Table:
    """Return some rows of batches that follow each other; `rows` are (n,) rising numbers from 0."""
    found, first = [], 0
    for batch in batches:
        places = rows[(rows >= first) & (rows < first + len(batch))] - first
        found.append(batch.take(pa.array(places)))
        first += len(batch)
    return pa.Table.from_batches(found)


def groups_of(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return the group of each training text, from its column or its place: (n,) int64."""
    if (group := read_training(path, "group")) is not None:
        return np.asarray(group.dictionary_encode().indices, np.int64)
    if (first := first_alike(path)) is None:
        return block_of(labels)
    firsts, number = np.unique(first, return_inverse=True)
    return np.asarray(block_of(labels[firsts])[number])


def first_alike(path: Path) -> np.ndarray | None:
    """Return the first training text that is like each one: (n,) int64; None if validation is not cut from them."""
    alike = read_training(path, "alike")
    return None if alike is None else first_equal(alike)


def read_training(path: Path, column: str) -> pa.Array | None:
    """Return a column of the training rows of texts.parquet; None if there is no such file or column."""
    if not path.exists() or column not in pq.read_schema(path).names:
        return None
    return pa.chunked_array(iterate_column(path, "train", column)).combine_chunks()


def name_text(downloaded: Path, split: str, row: int) -> str:
    """Return the file and row of a split's text."""
    (place,) = read_rows(downloaded, split, np.array([row])).to_pylist()
    return f"{place['file']} row {place['row']}"


def iterate_column(path: Path, split: str, column: str) -> Iterator[pa.Array]:
    """Yield a column of one split's rows, part by part."""
    for batch in iterate_rows(path, ["split", column], ROWS_PER_PART):
        yield batch.filter(pc.equal(batch["split"], split))[column]


def rank_texts(path: Path, split: str, vocabulary: pa.Array, rule: str) -> Iterator[pa.ListArray]:
    """Yield the word ranks of one split's texts."""
    for texts in iterate_column(path, split, "text"):
        yield words_to_ranks(tokenise(texts, rule), vocabulary)


@dataclass(frozen=True)
class Identities:
    """Hashes of a run's texts.

    Attributes:
        tested: (n,) uint64, of the test texts in the order in which they are scored.
        learnt: (m,) uint64, sorted and distinct, of the training and validation texts.
        left_out: how many texts of the download are among neither, because the number was limited.
    """

    tested: np.ndarray
    learnt: np.ndarray
    left_out: int = 0


def identify_texts(downloaded: Path, settings: OrderSettings) -> Identities:
    """Return the hashes of a download's texts, shuffled and limited as `encode` does."""
    splits = {split: hash_split(downloaded, split) for split in SHUFFLED}
    orders = order_texts(splits, settings)
    kept = {split: hashes[orders[split]] for split, hashes in splits.items()}
    learnt = [hashes for split, hashes in kept.items() if split != "test"]
    left_out = sum(len(splits[split]) - len(hashes) for split, hashes in kept.items())
    return Identities(kept["test"], np.unique(np.concatenate(learnt)), left_out)


def hash_split(downloaded: Path, split: str) -> np.ndarray:
    """Return the hashes of a split's texts, in the download's order: (n,) uint64."""
    hashes = [hashes for hashes, _texts in iterate_texts(downloaded, split, with_texts=False)]
    return np.concatenate([np.zeros(0, np.uint64), *hashes])


def iterate_texts(
    downloaded: Path, split: str, *, with_texts: bool = True
) -> Iterator[tuple[np.ndarray, pa.Array | None]]:
    """Yield the hashes and texts of a split, part by part, in the download's order.

    The texts of Keras's arrays are their words joined by spaces; None if the words are unknown or not asked for.
    """
    if (downloaded / imdb.NPZ).exists():
        yield from iterate_arrays(downloaded, split, with_texts=with_texts)
        return
    for texts in iterate_column(downloaded / TEXTS, split, "text"):
        # By the rule "unicode", case, punctuation and spaces do not matter.
        yield hash_all(pc.binary_join(tokenise(texts, "unicode"), " ").cast(pa.binary()).to_pylist()), texts


def iterate_arrays(downloaded: Path, split: str, *, with_texts: bool) -> Iterator[tuple[np.ndarray, pa.Array | None]]:
    """Yield the hashes and texts of Keras's arrays."""
    if split not in imdb.KERAS_SPLITS:
        return
    lists, _labels = imdb.read_ranks(downloaded / imdb.NPZ, split)
    index = downloaded / imdb.WORD_INDEX
    words = np.array(["", *imdb.read_word_index(index, str(index))], object) if with_texts and index.exists() else None
    for start in range(0, len(lists), ROWS_PER_PART):
        rows = [np.asarray(row.values, np.int32) for row in lists.slice(start, ROWS_PER_PART)]
        # A word index may end before the ranks that num_words leaves out.
        texts = None if words is None else pa.array([" ".join(words.take(row, mode="clip")) for row in rows])
        yield hash_all(row.tobytes() for row in rows), texts
