"""Reading: the rows of a table in any format as record batches of bounded size."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import InputError
from tasks.texts.encoded import open_streaming
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.delimited import read_delimited
from tasks.texts.tables.json_objects import read_objects
from tasks.texts.tables.table_files import form_of
from tasks.texts.tables.text_decoding import ROWS_PER_BATCH, Part, TextFile, explain_bytes
from tasks.texts.tables.text_folder import read_text_folder

MAX_BATCH_BYTES = 64 << 20
MAX_VALUE_BYTES = 256 << 20
MAX_DECODED_BYTES = 32 << 20
MIN_ROWS = 64  # as many long texts at once are decoded as fast as more


def read_lines(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the lines of a file as texts; only a newline ends a line."""
    options.require([options.text_column], path)
    with TextFile(path, options, newline="\n") as file:
        for part in file.parts(line.removesuffix("\n").removesuffix("\r") for line in file.lines()):
            yield pa.record_batch([pa.array(part, pa.string())], [options.text_column]), file.share


def read_parquet(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the rows of a Parquet file."""
    with open_streaming(path) as parquet:
        names, total = parquet.schema_arrow.names, max(parquet.metadata.num_rows, 1)
        names_classes = options.label_column in (options.columns or ())
        classes = class_names(parquet.schema_arrow, options.label_column) if names_classes else []
    options.require(names, path)
    rows = 0
    for batch in iterate_rows(path, [name for name in names if options.takes(name)], ROWS_PER_BATCH):
        refuse_undecodable(batch, path, rows)
        rows += len(batch)
        yield name_classes(batch, options.label_column, classes) if classes else batch, rows / total


def class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the names of a ClassLabel of Hugging Face's datasets by number, [] for a column without them."""
    # The metadata is another program's: in any other form it says nothing about the column.
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return list(json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"])
    return []


def name_classes(batch: pa.RecordBatch, column: str, names: list[str]) -> pa.RecordBatch:
    """Return the batch with names in place of the numbers of a ClassLabel; -1 means unlabelled and stays."""
    values = [names[value] if value in range(len(names)) else value for value in batch.column(column).to_pylist()]
    labels = pa.array([None if value is None else str(value) for value in values], pa.string())
    return batch.set_column(batch.schema.get_field_index(column), column, labels)


def refuse_undecodable(batch: pa.RecordBatch, path: Path, first: int) -> None:
    """Raise an InputError about text that is not UTF-8, which some programs write unchecked.

    The batch has `first` rows of its file before it.
    """
    for name in [field.name for field in batch.schema if pa.types.is_string(field.type)]:
        try:
            batch[name].validate(full=True)
        except pa.ArrowInvalid as error:
            texts = enumerate(batch[name].cast(pa.binary()).to_pylist(), first + 1)
            row = next(row for row, text in texts if text and text.decode(errors="ignore").encode() != text)
            raise InputError(f"{path}: row {row:,} has bytes in {name!r} that are not UTF-8; fix this text") from error


def iterate_rows(path: Path, columns: list[str], most: int) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file's rows, with every kind of text as plain strings, `most` at once, or as fill 64 MB.

    One value in a dictionary may be the value of millions of rows, so a few hundred bytes can decode to gigabytes.

    Raises:
        InputError: a value is too large.
    """

    def decode(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        for number in range(file.num_row_groups):
            rows = rows_at_once(path, file.metadata.row_group(number), columns)
            for batch in file.iter_batches(rows, row_groups=[number], columns=columns):
                plain = [column.cast(pa.string()) if is_text(column.type) else column for column in batch.columns]
                yield pa.record_batch(plain, batch.schema.names)

    with open_streaming(path) as file:
        yield from regroup(decode(file), most)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's string types, or a dictionary of one."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def rows_at_once(path: Path, group: pq.RowGroupMetaData, columns: list[str]) -> int:
    """Return how many rows of a row group to decode together."""
    total = largest = 0
    for column in map(group.column, range(group.num_columns)):
        if column.path_in_schema.partition(".")[0] not in columns:
            continue
        # Equal numbers in lists take no space in the file, but eight bytes each in memory.
        size = max(column.total_uncompressed_size, 8 * column.num_values)
        row = size // max(group.num_rows, 1)
        total, largest = total + size, max(largest, row)
        if row > MAX_VALUE_BYTES:
            raise InputError(
                f"{path}: the column {column.path_in_schema!r} decodes to {row:,} bytes in a row, expected at most "
                f"{MAX_VALUE_BYTES:,}; shorten its values or remove the column"
            )
    # With a dictionary, each row may decode to nearly the size of the whole row group.
    fewest = min(MIN_ROWS, max(MAX_DECODED_BYTES // max(largest, 1), 1))
    return min(max(MAX_DECODED_BYTES // max(total, 1), fewest), ROWS_PER_BATCH)


def regroup(batches: Iterable[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows `most` at a time, or fewer if they take `MAX_BATCH_BYTES`."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        start = 0
        while start < len(batch):
            piece = batch.slice(start, most - rows)
            waiting.append(piece)
            start, rows, size = start + len(piece), rows + len(piece), size + piece.nbytes
            if rows == most or size >= MAX_BATCH_BYTES:
                yield pa.concat_batches(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)


READERS: dict[str, Callable[[Path, ReadOptions], Iterator[Part]]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": read_parquet,
    ".jsonl": read_objects,
    ".json": read_objects,
    ".txt": read_lines,
}

OnRead = Callable[[float], None]


def read_batches(
    path: Path, options: ReadOptions | None = None, on_read: OnRead | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, at most 8,192 at a time.

    Args:
        path: CSV with a header, Parquet, JSON or lines (.txt), which may be compressed, or a folder of text files.
        options: defaults to all columns in UTF-8.
        on_read: called before each batch with the share of the file that has been read.

    Raises:
        InputError: the content does not match the file's ending.
    """
    options = options or ReadOptions()
    form, compression = form_of(path)
    reader = read_text_folder if path.is_dir() else READERS[form]
    rows = 0
    try:
        for batch, share in reader(path, options):
            if on_read:
                on_read(share)
            yield batch
            rows += len(batch)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {explain_bytes(path, options)}") from error
    except (pa.ArrowException, OSError) as error:
        # An error of the disk has a number, and is not about what the file holds; Arrow's own has none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        expected = f"a whole {compression} file" if compression else "a Parquet file" if form == ".parquet" else "text"
        raise InputError(f"{path}: after row {rows:,}: {error}; expected {expected}") from error
