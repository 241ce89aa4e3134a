"""Encoded reviews: Parquet files of token lists and labels, and beside them the vocabulary and the rules."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

SPLITS = ("train", "test")
VOCABULARY, ENCODING = "vocabulary.json", "encoding.json"
ROWS_A_GROUP = 32_768


def write_encoded(path: Path, tokens: pa.ListArray, labels: np.ndarray) -> None:
    """Write reviews as rows of `tokens` (list of ids) and `label` (int8)."""
    table = pa.table({"tokens": tokens, "label": pa.array(labels, pa.int8())})
    pq.write_table(table, path, compression="zstd", row_group_size=ROWS_A_GROUP)


def iterate_encoded(path: Path, start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows from `start` up to `stop` in batches, so that only one batch is in memory."""
    position = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_A_GROUP):
            first, last = max(start - position, 0), min(stop - position, len(batch))
            if first < last:
                yield batch.slice(first, last - first)
            position += len(batch)


def count_encoded(path: Path) -> int:
    """Return how many reviews a file holds."""
    return int(pq.read_metadata(path).num_rows)


class Encoding(BaseModel):
    """How ids were given, and how many there are: `vocabulary_size` is one more than the highest that may occur."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skip_top: int
    start_char: int | None
    oov_char: int | None
    index_from: int
    vocabulary_size: int


def write_encoding(folder: Path, encoding: Encoding) -> None:
    """Write the rules by which ids were given."""
    (folder / ENCODING).write_text(encoding.model_dump_json(indent=1))


def read_encoding(folder: Path) -> Encoding:
    """Return the rules by which ids were given."""
    return Encoding.model_validate_json((folder / ENCODING).read_bytes())


def write_vocabulary(folder: Path, words: list[str]) -> None:
    """Write the words in order of rank."""
    (folder / VOCABULARY).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")


def read_vocabulary(folder: Path) -> list[str]:
    """Return the words in order of rank: the first has rank 1."""
    words: list[str] = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
    return words
