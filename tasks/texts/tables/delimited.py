"""Delimited text: CSV and similar formats, read by Python's csv module, every field as text."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.folders import form_of
from tasks.texts.tables.text_file import MAX_ROW, Part, TextFile, explain_surrogate, has_surrogate

DELIMITERS = (",", ";", "\t", "|")


def read_delimited(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the rows of a CSV file with a header.

    An empty field is null, except in the text column, where it is an empty text. Blank lines are skipped, except in
    a file with a single column, where they are rows with an empty field.

    Raises:
        InputError: the header is invalid, or a row has another number of fields.
    """
    csv.field_size_limit(MAX_ROW)  # for the whole process; Python's default is 128 KiB
    with TextFile(path, options, newline="") as file:
        lines = file.lines()
        header = next((line for line in lines if line.strip()), "")
        delimiter = options.delimiter or find_delimiter(header, path)
        rows = csv.reader(itertools.chain([header], lines), delimiter=delimiter, strict=True)
        names = column_names(rows, header, delimiter, path, options)
        taken = {name: place for place, name in enumerate(names) if options.takes(name)}
        for first, part in file.parts(checked_rows(rows, len(names), path)):
            columns = []
            for name, place in taken.items():
                fields = [row[place] for row in part]
                nullable = fields if name == options.text_column else [field or None for field in fields]
                columns.append(file.column(name, nullable, first))
            yield pa.record_batch(columns, list(taken)), file.share


def find_delimiter(header: str, path: Path) -> str:
    """Return the delimiter that gives the header most columns, a comma by default; a tab for .tsv."""
    if form_of(path)[0] == ".tsv":
        return "\t"
    return max(DELIMITERS, key=lambda delimiter: count_fields(header, delimiter))


def count_fields(header: str, delimiter: str) -> int:
    """Return how many columns a header has."""
    return len(next(csv.reader([header], delimiter=delimiter), []))


def column_names(rows: Iterator[list[str]], header: str, delimiter: str, path: Path, options: ReadOptions) -> list[str]:
    """Return the names in the header; a column without a name is called by its number.

    Raises:
        InputError: there are none, one is missing or appears twice, or the delimiter is wrong.
    """
    try:
        names = next(rows, [])
    except csv.Error as error:
        raise InputError(f"{path}: its first line is not a header with column names ({error})") from error
    if not names:
        raise InputError(f"{path}: is empty; expected a header with column names")
    if has_surrogate(header):
        raise InputError(f"{path}: the header {explain_surrogate(header, options)}")
    probable = find_delimiter(header, path)
    if len(names) == 1 and count_fields(header, probable) > 1:
        raise InputError(
            f"{path}: its header has no {delimiter!r}; fields seem to be separated by {probable!r}: give "
            f"{options.flags}delimiter {probable!r}, or leave it out"
        )
    names = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    options.require(names, path)
    return names


def checked_rows(rows: Iterator[list[str]], width: int, path: Path) -> Iterator[list[str]]:
    """Yield the rows after the header, or refuse one that does not have `width` fields."""
    number = 0
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise InputError(f"{path}: row {number + 1:,}: {explain_quotes(error)}") from error
        if row is None:
            return
        if not row and width > 1:
            continue
        row = row or [""]
        number += 1
        if len(row) != width:
            raise InputError(
                f"{path}: row {number:,} has {len(row)} columns, expected {width}; put a text with commas or line "
                "breaks in double quotes, and close each"
            )
        yield row


def explain_quotes(error: csv.Error) -> str:
    """Return what is wrong with a row that csv cannot read: it is always a double quote."""
    if "unexpected end of data" in str(error) or "field larger than" in str(error):
        return f"a double quote is never closed, or a field is longer than {MAX_ROW:,} characters; close each quote"
    return f"a quoted field contains a double quote ({error}); write it twice"
