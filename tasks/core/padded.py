"""Padded reviews: the Parquet file that training and evaluation read, one row a review, as a rectangle."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import DataError
from tasks.core.text import RULE

SPLITS = ("train", "validation", "test")
FORMAT = "padded reviews, version 1"


@dataclass(frozen=True)
class Padded:
    """Reviews as arrays.

    Attributes:
        tokens: (n, maxlen) uint16 or int32 token ids; 0 is padding.
        lengths: (n,) int32 words kept of each review.
        labels: (n,) int8, 1 for a positive review.
        padding: "pre" or "post", the side on which rows are filled up.
        vocabulary_size: token ids end below this.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    padding: str
    vocabulary_size: int


def padded_schema(maxlen: int, vocabulary_size: int, padding: str, truncating: str) -> pa.Schema:
    """Return the schema of a padded file, with how it was made in its metadata."""
    token_type = pa.uint16() if vocabulary_size <= 1 << 16 else pa.int32()
    fields = [("tokens", pa.list_(token_type, maxlen)), ("length", pa.int32()), ("label", pa.int8())]
    made = {
        "format": FORMAT,
        "rule": RULE,
        "vocabulary_size": str(vocabulary_size),
        "maxlen": str(maxlen),
        "padding": padding,
        "truncating": truncating,
    }
    return pa.schema(fields, metadata=made)


def write_padded(path: Path, schema: pa.Schema, parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> int:
    """Write a padded file part by part, a row group each, and return the number of rows.

    Args:
        path: the file to write.
        schema: as `padded_schema` returns it.
        parts: tokens (n, maxlen), lengths (n,) and labels (n,).
    """
    rows = 0
    # Token ids hardly repeat in runs: a dictionary would cost time and save nothing over zstd alone.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for tokens, lengths, labels in parts:
            values = pa.array(tokens.reshape(-1), schema.field("tokens").type.value_type)
            rectangle = pa.FixedSizeListArray.from_arrays(values, tokens.shape[1])
            columns = [rectangle, pa.array(lengths, pa.int32()), pa.array(labels, pa.int8())]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=max(len(labels), 1))
            rows += len(labels)
    return rows


def read_padded(path: Path) -> Padded:
    """Read a padded file; up to 32,768 reviews without a copy after decoding.

    Raises:
        DataError: the file was made otherwise than `write_padded` makes it.
    """
    with pq.ParquetFile(path, memory_map=True) as file:
        made = read_making(path, file.schema_arrow)
        table = file.read()
    return Padded(
        tokens=join([chunk.flatten().to_numpy() for chunk in table["tokens"].chunks]).reshape(-1, int(made["maxlen"])),
        lengths=join([chunk.to_numpy() for chunk in table["length"].chunks]),
        labels=join([chunk.to_numpy() for chunk in table["label"].chunks]),
        padding=made["padding"],
        vocabulary_size=int(made["vocabulary_size"]),
    )


def read_vocabulary_size(path: Path) -> int:
    """Return the number below which the token ids of a padded file end.

    Raises:
        DataError: the file was made otherwise than `write_padded` makes it.
    """
    return int(read_making(path, pq.read_schema(path))["vocabulary_size"])


def read_making(path: Path, schema: pa.Schema) -> dict[str, str]:
    """Return how a padded file was made, or refuse one that was made otherwise."""
    made = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    for name, expected in (("format", FORMAT), ("rule", RULE)):
        if made.get(name) != expected:
            raise DataError(
                f"{path}: its {name} is {made.get(name, 'not given')!r}, expected {expected!r}; "
                "remove the file, and the next run makes it again"
            )
    return made


def join(chunks: list[np.ndarray]) -> np.ndarray:
    """Return the one chunk as it is, or several as one array."""
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
