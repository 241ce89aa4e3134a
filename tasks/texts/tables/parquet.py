"""Parquet: rows in batches of bounded size, whatever a file decodes to."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import InputError
from tasks.texts.encoded import ROWS_PER_GROUP, open_streaming

MAX_VALUE_BYTES = 256 << 20
MAX_DECODED_BYTES = 32 << 20
# Of a row group that is larger: as many long texts at once are decoded as fast as more.
FEW_ROWS = 128
SKEW = 16  # rows at one place may be larger than the average row
DICTIONARY_PAGE = 2


def iterate_rows(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file's rows, as many at once as surely take little memory; None reads all columns.

    One value in a dictionary may be the value of millions of rows, so a few hundred bytes can decode to gigabytes.

    Raises:
        InputError: a value is too large.
    """
    with open_streaming(path) as file, path.open("rb") as raw:
        for number in range(file.num_row_groups):
            rows = rows_at_once(path, raw, file.metadata.row_group(number), columns)
            yield from file.iter_batches(rows, row_groups=[number], columns=columns)


def rows_at_once(path: Path, raw: BinaryIO, group: pq.RowGroupMetaData, columns: list[str] | None) -> int:
    """Return how many rows of a row group to decode together."""
    largest = total = 0
    for place in range(group.num_columns):
        column = group.column(place)
        if columns is not None and column.path_in_schema.partition(".")[0] not in columns:
            continue
        # Equal numbers in lists take no space in the file, but eight bytes each in memory.
        size = max(column.total_uncompressed_size, 8 * column.num_values)
        row, total = max(dictionary_bytes(raw, column), size // max(group.num_rows, 1)), total + size
        if row > MAX_VALUE_BYTES:
            raise InputError(
                f"{path}: the column {column.path_in_schema!r} decodes to {row:,} bytes in a row, expected at most "
                f"{MAX_VALUE_BYTES:,}; shorten its values or remove the column"
            )
        largest += max(dictionary_bytes(raw, column), SKEW * (size // max(group.num_rows, 1)))
    rows = min(max(MAX_DECODED_BYTES // max(largest, 1), 1), ROWS_PER_GROUP)
    return min(rows, FEW_ROWS) if total > MAX_DECODED_BYTES else rows


def dictionary_bytes(raw: BinaryIO, column: pq.ColumnChunkMetaData) -> int:
    """Return the size of a column's dictionary when decompressed, from the page's header; 0 if there is none."""
    raw.seek(column.dictionary_page_offset or column.data_page_offset)
    header = raw.read(16)
    numbers: list[int] = []
    at = 0
    # In Thrift's compact protocol: 0x15 (the next field is an integer), a varint; the page's type, then its size.
    while len(numbers) < 2 and header[at : at + 1] == b"\x15":
        number = shift = 0
        at += 1
        while at < len(header):
            number |= (header[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if header[at - 1] < 0x80:
                break
        numbers.append(number >> 1)
    return numbers[1] if len(numbers) == 2 and numbers[0] == DICTIONARY_PAGE else 0
