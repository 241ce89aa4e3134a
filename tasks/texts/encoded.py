"""Encoded texts: Parquet files of token ids and labels, with the vocabulary and the encoding's rules."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.texts.dataset_info import JsonFile

VOCABULARY, ENCODING, WORDS = "vocabulary.json", "encoding.json", "words.json"
ROWS_PER_GROUP = 8192


def encoded_file(folder: Path, split: str) -> Path:
    """Return the path of a split's encoded texts."""
    return folder / f"{split}.parquet"


def write_encoded(path: Path, parts: Iterable[pa.ListArray], labels: np.ndarray) -> int:
    """Write `tokens` (lists of ids) and `label`, (n,) int8 or int16; return the highest id, 0 if there is none.

    `parts`, lists of one type, become one row group each.
    """
    highest, first, writer = 0, 0, None
    with contextlib.ExitStack() as files:
        for tokens in parts:
            part = pa.table({"tokens": tokens, "label": labels[first : first + len(tokens)]})
            first += len(tokens)
            writer = writer or files.enter_context(pq.ParquetWriter(path, part.schema, compression="zstd"))
            writer.write_table(part)
            highest = max(highest, pc.max(tokens.flatten()).as_py() or 0)
    return highest


def iterate_encoded(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches, with one in memory at a time."""
    with open_streaming(path) as file:
        yield from file.iter_batches(ROWS_PER_GROUP)


def read_split(folder: Path, split: str) -> tuple[Callable[[], Iterator[pa.ListArray]], np.ndarray]:
    """Return a function that yields the tokens of a split, again on each call, and the labels."""
    path = encoded_file(folder, split)
    return lambda: (batch["tokens"] for batch in iterate_encoded(path)), read_labels(path)


def open_streaming(path: Path) -> pq.ParquetFile:
    """Open a Parquet file for reading once, without Arrow's read-ahead, which keeps everything in memory.

    Spark's times are microseconds, because nanoseconds end in 2262.
    """
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, coerce_int96_timestamp_unit="us")


def read_labels(path: Path) -> np.ndarray:
    """Return the labels: (n,) int8 or int16."""
    return np.asarray(pq.read_table(path, columns=["label"])["label"])


class Encoding(JsonFile):
    """How text became words, and words ids. Older files lack the fields with defaults.

    Attributes:
        skip_top: lower ids become `oov_char`.
        start_char: put before each text; None puts nothing.
        oov_char: replaces ids that are left out; None drops them.
        index_from: added to each rank.
        vocabulary_size: one more than the highest possible id.
        labels: their number.
    """

    FILE = ENCODING

    tokenisation: str = "keras"  # which models of before there was a choice do not say
    skip_top: int
    start_char: int | None
    oov_char: int | None
    index_from: int
    vocabulary_size: int
    labels: int = 2


def write_vocabulary(folder: Path, words: list[str]) -> None:
    """Write the words in order of rank."""
    (folder / VOCABULARY).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")


def read_vocabulary(folder: Path) -> list[str]:
    """Return the words in order of rank: the first has rank 1."""
    words: list[str] = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
    return words


def write_words(folder: Path, words: dict[str, dict[str, int]]) -> None:
    """Write the word counts of each split."""
    (folder / WORDS).write_text(json.dumps(words, indent=1))


def read_words(folder: Path) -> dict[str, dict[str, int]]:
    """Return the word counts of each split, as `check_words` returns them."""
    words: dict[str, dict[str, int]] = json.loads((folder / WORDS).read_bytes())
    return words
