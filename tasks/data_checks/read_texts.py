"""Read texts to check: a download's texts as word numbers, with their labels, splits and places in the files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.texts.dataset_info import TEXTS
from tasks.texts.downloaded import ROWS_PER_PART, read_arrays, read_rows
from tasks.texts.padded import SPLITS
from tasks.texts.sources import imdb
from tasks.texts.tables.reading import iterate_rows
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import list_offsets

MAX_WORDS = 12_500_000  # of more, every n-th text is checked
PLACES = (*SPLITS, "removed")
DAMAGE = {
    "replacement characters": r"\x{fffd}",
    "mojibake": r"[\x{c2}\x{c3}][\x{80}-\x{bf}]|\x{e2}\x{20ac}|\x{e2}\x{80}",
    "control characters": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]",
}


@dataclass(frozen=True)
class CheckedTexts:
    """n texts.

    Attributes:
        words: (words,) int32 places in the vocabulary, text after text.
        bounds: (n + 1,) where each text begins.
        labels: (n,) integers.
        splits: (n,) int8 places in `PLACES`.
        total: number of texts that these were taken from.
        damaged: for each kind of damage the rows that have it.
        origins: returns file, row and text of some rows, in order.
    """

    words: np.ndarray
    bounds: np.ndarray
    vocabulary: list[str]
    labels: np.ndarray
    splits: np.ndarray
    total: int
    damaged: dict[str, np.ndarray]
    origins: Callable[[np.ndarray], pa.Table]


def read_checked(downloaded: Path) -> CheckedTexts:
    """Return the texts of a download, those left out of training for a leak too."""
    return check_arrays(downloaded) if (downloaded / imdb.NPZ).exists() else check_rows(downloaded / TEXTS)


def check_arrays(downloaded: Path) -> CheckedTexts:
    """Return the texts of Keras's arrays; without a word index, words are called by their ranks."""
    ranked = read_arrays(downloaded)
    parts = {split: list(parts()) for split, parts in ranked.parts.items()}
    lists = pa.chunked_array([part for its in parts.values() for part in its]).combine_chunks()
    bounds, words = list_offsets(lists), lists.flatten().to_numpy() - 1
    vocabulary = ranked.vocabulary + [f"#{rank}" for rank in range(len(ranked.vocabulary), ranked.highest_rank + 1)]
    sizes = [len(labels) for labels in ranked.labels.values()]

    def origins(rows: np.ndarray) -> pa.Table:
        names = np.repeat([f"x_{split}" for split in parts], sizes)[rows]
        first = np.repeat(np.cumsum(sizes) - sizes, sizes)[rows]
        texts = [" ".join(vocabulary[word] for word in words[bounds[row] : bounds[row + 1]]) for row in rows]
        return pa.table({"file": pa.array(names.tolist(), pa.string()), "row": rows - first, "text": texts})

    splits = np.repeat([PLACES.index(split) for split in parts], sizes).astype(np.int8)
    labels = np.concatenate(list(ranked.labels.values()))
    return CheckedTexts(words, bounds, vocabulary, labels, splits, len(labels), {}, origins)


def check_rows(path: Path) -> CheckedTexts:
    """Return the texts of texts.parquet; of more than 12.5 million words, only of every n-th row."""
    total, first, parts = pq.read_metadata(path).num_rows, 0, list[tuple[Any, ...]]()
    words, seen = list[pa.Array](), 0
    for batch in iterate_rows(path, ["split", "label", "text"], ROWS_PER_PART):
        step = 1 + seen * total // max(first, 1) // MAX_WORDS
        rows = np.arange(0, len(batch), step)
        kept = batch.take(pa.array(rows))
        tokens = tokenise(kept["text"], "unicode")
        words.append(tokens.flatten().dictionary_encode())
        seen += step * len(words[-1])  # about as many as the batch has
        damaged = [np.asarray(pc.match_substring_regex(kept["text"], pattern)) for pattern in DAMAGE.values()]
        splits = pc.index_in(kept["split"], value_set=pa.array(PLACES)).to_numpy().astype(np.int8)
        parts.append((first + rows, np.diff(list_offsets(tokens)), kept["label"].to_numpy(), splits, *damaged))
        first += len(batch)
    numbers, lengths, labels, splits, *flags = (np.concatenate(its) for its in zip(*parts, strict=True))
    chunks = pa.chunked_array(words).unify_dictionaries().chunks
    return CheckedTexts(
        words=np.concatenate([chunk.indices.to_numpy() for chunk in chunks]),
        bounds=np.append(0, np.cumsum(lengths)),
        vocabulary=chunks[-1].dictionary.to_pylist(),
        labels=labels,
        splits=splits,
        total=total,
        damaged=dict(zip(DAMAGE, flags, strict=True)),
        origins=lambda rows: read_rows(path.parent, None, numbers[rows]),
    )
