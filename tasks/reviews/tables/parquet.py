"""Parquet: row groups in parts, its text columns as plain text, whatever kind of text they are."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.reviews.encoded import open_streaming
from tasks.reviews.tables.wanted import Part, Wanted

ROWS_AT_ONCE = 8192


def read_parquet(path: Path, wanted: Wanted) -> Iterator[Part]:
    """Yield the row groups of a Parquet file in parts.

    Raises:
        InputError: a column that is wanted is missing, or there twice.
    """
    with open_streaming(path) as parquet:
        names = parquet.schema_arrow.names
        wanted.require(names, path)
        rows, total = 0, max(parquet.metadata.num_rows, 1)
        for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=[name for name in names if wanted.takes(name)]):
            rows += len(batch)
            columns = [as_text(column) for column in batch.columns]
            yield pa.record_batch(columns, batch.schema.names), rows / total


def as_text(column: pa.Array) -> pa.Array:
    """Return a column of text as plain strings, whether it is large, a view or a dictionary; any other as it is."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return column.cast(pa.string()) if is_text else column
