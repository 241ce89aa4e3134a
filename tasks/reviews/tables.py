"""Tables: CSV, Parquet, JSON lines and plain text as record batches, streamed, with errors that name file and line."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from tasks.core.errors import InputError
from tasks.reviews.encoded import open_streaming

ROWS_A_BATCH = 8192
LARGEST_BATCH = 64 << 20  # bytes
BLOCK = 2 << 20  # bytes of CSV or JSON parsed at once, and so of the longest row; Arrow reads 32 of them ahead
LONGEST_LINE = 64 << 20
LONGEST_HEADER = 1 << 20

SUFFIXES = (".csv", ".parquet", ".jsonl", ".txt")

# A batch, and the share of the file, from 0 to 1, that has been read with it.
Part = tuple[pa.RecordBatch, float]
OnRead = Callable[[float], None]


def table_files(path: Path) -> list[Path]:
    """Return the file, or the files of a folder, that can be read as a table, in order of name.

    Raises:
        InputError: there is none.
    """
    if path.is_dir():
        files = files_within(path)
        if not files:
            raise InputError(f"{path}: holds no file that ends in {', '.join(SUFFIXES)}")
        return files
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    return [path]


def files_within(folder: Path) -> list[Path]:
    """Return the files of a folder that can be read as a table, in order of name."""
    return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))


def read_batches(path: Path, text_column: str = "text", on_read: OnRead | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, at most 8,192 at a time.

    Args:
        path: CSV with a header, Parquet, one JSON object a line, or one text a line.
        text_column: the name that the lines of a .txt file get.
        on_read: told before each batch which share of the file has been read.

    Raises:
        InputError: the file cannot be read as what its ending says; it names the place.
    """
    readers = {".csv": read_csv, ".parquet": read_parquet, ".jsonl": read_json}
    reader = readers.get(path.suffix)
    rows = 0

    def blocks() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch, share in reader(path) if reader else read_lines(path, text_column):
            if on_read:
                on_read(share)
            yield batch
            rows += len(batch)

    try:
        yield from regroup(blocks())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {explain_error(str(error), path.suffix, rows)}") from error


def regroup(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows 8,192 at a time, or fewer where they are large."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        start = 0
        while start < len(batch):
            piece = batch.slice(start, ROWS_A_BATCH - rows)
            waiting.append(piece)
            start, rows, size = start + len(piece), rows + len(piece), size + piece.nbytes
            if rows == ROWS_A_BATCH or size >= LARGEST_BATCH:
                yield pa.concat_batches(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)


def explain_error(message: str, suffix: str, rows: int) -> str:
    """Return what is wrong with a file, in the words of this pipeline where Arrow's are about its own workings.

    Args:
        message: Arrow's.
        suffix: of the file.
        rows: read before.
    """
    if "straddling object" in message or "CSV parser got out of sync" in message:
        quotes = ", or a double quote that is never closed" if suffix == ".csv" else ""
        return f"after row {rows:,} comes one longer than {BLOCK >> 20} MiB{quotes}; shorten it, or give Parquet"
    if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message):
        row, expected, got = (int(number) for number in found.groups())
        # Arrow counts the header as the first row.
        return f"row {row - 1} has {got} columns, expected {expected}; put a text with commas in quotes, and close each"
    if found := re.search(r"(.*) in row (\d+)$", message, re.DOTALL):
        # Arrow counts from the block's first row, as 0.
        return f"row {rows + int(found[2]) + 1:,}: {found[1]}; expected one JSON object a line, in UTF-8"
    kind = {".csv": "a CSV file in UTF-8, fields with commas or line breaks in double quotes",
            ".parquet": "a Parquet file", ".jsonl": "one JSON object a line, in UTF-8"}  # fmt: skip
    return f"after row {rows:,}: {message}; expected {kind.get(suffix, 'text in UTF-8')}"


def read_csv(path: Path) -> Iterator[Part]:
    """Yield the blocks of a CSV file; every column is text, so that no block guesses another type."""
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK, use_threads=False),  # threads would lose the row numbers
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(csv_columns(path), pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        ),
    )
    with reader:
        yield from with_share(reader, path)


def with_share(blocks: Iterable[pa.RecordBatch], path: Path) -> Iterator[Part]:
    """Yield what Arrow makes of each block of a file, with the share of the file that lies behind."""
    size = path.stat().st_size
    for number, batch in enumerate(blocks, 1):
        yield batch, min(number * BLOCK / size, 1.0)


def csv_columns(path: Path) -> list[str]:
    """Return the names in the header of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(LONGEST_HEADER)
    try:
        names = next(csv.reader([line]), [])
    except csv.Error as error:
        raise InputError(f"{path}: its first line is no header with the names of the columns ({error})") from error
    if not names:
        raise InputError(f"{path}: is empty; expected a header with the names of the columns")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: the header names a column twice: {', '.join(names)}")
    return names


def read_parquet(path: Path) -> Iterator[Part]:
    """Yield the row groups of a Parquet file in parts."""
    with open_streaming(path) as parquet:
        rows, total = 0, max(parquet.metadata.num_rows, 1)
        for batch in parquet.iter_batches(ROWS_A_BATCH):
            rows += len(batch)
            yield batch, rows / total


def read_json(path: Path) -> Iterator[Part]:
    """Yield the blocks of a file with one JSON object a line."""
    with pyarrow.json.open_json(path, pyarrow.json.ReadOptions(block_size=BLOCK, use_threads=False)) as reader:
        yield from with_share(reader, path)


def read_lines(path: Path, column: str) -> Iterator[Part]:
    """Yield the lines of a text file as one column, or refuse one that is too long."""
    lines: list[str] = []
    number, size = 0, path.stat().st_size
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as file:
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise InputError(f"{path}: line {number} is longer than {LONGEST_LINE:,} characters")
            lines.append(line.rstrip("\n"))
            if len(lines) == ROWS_A_BATCH:
                yield pa.record_batch({column: pa.array(lines, pa.string())}), raw.tell() / size
                lines = []
    if lines:
        yield pa.record_batch({column: pa.array(lines, pa.string())}), 1.0


def texts_of(batch: pa.RecordBatch, column: str, path: Path, first: int) -> pa.Array:
    """Return the texts of a batch.

    Args:
        batch: rows of `path`.
        column: the column that holds them.
        path: for messages.
        first: the row of the file that the batch begins with, from 0.

    Raises:
        InputError: there is no such column, or a row has no text.
    """
    texts = column_of(batch, column, path, "--text-column")
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        raise InputError(f"{path}: the column {column!r} holds {texts.type}, expected text")
    if texts.null_count:
        row = first + texts.is_null().to_pylist().index(True)
        raise InputError(f"{path}: row {row + 1} has no text in {column!r}; fill it in or remove the row")
    return texts.cast(pa.string())


def column_of(batch: pa.RecordBatch, column: str, path: Path, flag: str) -> pa.Array:
    """Return a column of a batch of `path`, or say that there is none, and with which flag to name another."""
    if column not in batch.schema.names:
        raise InputError(f"{path}: has no column {column!r}, only {', '.join(batch.schema.names)}; name it with {flag}")
    return batch.column(column)
