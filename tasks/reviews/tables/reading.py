"""Reading a table: its rows as batches of one size, whatever form the file has."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.reviews.tables.delimited import read_delimited
from tasks.reviews.tables.files import form_of
from tasks.reviews.tables.lines import read_lines
from tasks.reviews.tables.objects import read_objects
from tasks.reviews.tables.parquet import read_parquet
from tasks.reviews.tables.wanted import Part, Wanted

ROWS_A_BATCH = 8192
LARGEST_BATCH = 64 << 20  # bytes

READERS: dict[str, Callable[[Path, Wanted], Iterator[Part]]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": read_parquet,
    ".jsonl": read_objects,
    ".json": read_objects,
    ".txt": read_lines,
}

OnRead = Callable[[float], None]


def read_batches(path: Path, wanted: Wanted | None = None, on_read: OnRead | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, at most 8,192 at a time.

    Args:
        path: CSV with a header, Parquet, JSON, or one text a line; text may be compressed.
        wanted: which columns are read, and how; None reads all.
        on_read: told before each batch which share of the file has been read.

    Raises:
        InputError: the file cannot be read as what its ending says; it names the place.
    """
    wanted = wanted or Wanted()
    form, compression = form_of(path)
    rows = 0

    def blocks() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch, share in READERS[form](path, wanted):
            if on_read:
                on_read(share)
            yield batch
            rows += len(batch)

    try:
        yield from regroup(blocks())
    except (pa.ArrowException, UnicodeError, OSError) as error:
        # An error of the disk has a number, and is not about what the file holds; Arrow's own has none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        expected = f"a whole {compression} file" if compression else "a Parquet file" if form == ".parquet" else "text"
        raise InputError(f"{path}: after row {rows:,}: {error}; expected {expected}") from error


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
