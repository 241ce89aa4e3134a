"""Plain text: one text a line."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.reviews.tables.opening import TextFile
from tasks.reviews.tables.wanted import Part, Wanted, strings


def read_lines(path: Path, wanted: Wanted) -> Iterator[Part]:
    """Yield the lines of a file as one column; an empty line is a text without words."""
    column, first = wanted.text_column, 0
    wanted.require([column], path)
    with TextFile(path, wanted) as file:
        for part in file.parts(line.removesuffix("\n") for line in file.lines()):
            yield pa.record_batch({column: strings(part, path, column, first, wanted)}), file.share
            first += len(part)
