"""Delimited text: CSV and its kin, read by Python's own csv, every field as text."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.folders import form_of
from tasks.texts.tables.read_options import MAX_ROW, Part, ReadOptions, explain_bytes, is_whole, strings
from tasks.texts.tables.text_file import TextFile

DELIMITERS = (",", ";", "\t", "|")


def read_delimited(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the rows of a CSV file with a header.

    An empty field is null, but in the column of the texts: that is a text without words. Blank lines are passed over,
    but not where there is one column: there each is a row like that.

    Raises:
        InputError: the header cannot be one, or a row is not as long as it.
    """
    # Python's own limit is 128 KiB, and one for the whole process; whoever else reads CSV in it is only served better.
    csv.field_size_limit(MAX_ROW)
    with TextFile(path, options, newline="") as file:
        lines = file.lines()
        header = next((line for line in lines if line.strip()), "")
        delimiter = options.delimiter or find_delimiter(header, path)
        rows = csv.reader(itertools.chain([header], lines), delimiter=delimiter, strict=True)
        names = column_names(rows, header, delimiter, path, options)
        taken = [place for place, name in enumerate(names) if options.takes(name)]
        first = 0
        for part in file.parts(checked_rows(rows, len(names), path)):
            columns = list(zip(*part, strict=True))
            yield (
                pa.record_batch(
                    [as_column(columns[place], names[place], path, first, options) for place in taken],
                    [names[place] for place in taken],
                ),
                file.share,
            )
            first += len(part)


def as_column(fields: tuple[str, ...], name: str, path: Path, first: int, options: ReadOptions) -> pa.Array:
    """Return the fields of one column; those that are empty are null, but for texts."""
    values = fields if name == options.text_column else [field or None for field in fields]
    return strings(values, path, name, first, options)


def find_delimiter(header: str, path: Path) -> str:
    """Return the delimiter that makes most columns of a header, a comma where none does; of .tsv a tab."""
    if form_of(path)[0] == ".tsv":
        return "\t"
    return max(DELIMITERS, key=lambda delimiter: count_fields(header, delimiter))


def count_fields(header: str, delimiter: str) -> int:
    """Return how many columns a header names."""
    return len(next(csv.reader([header], delimiter=delimiter), []))


def column_names(rows: Iterator[list[str]], header: str, delimiter: str, path: Path, options: ReadOptions) -> list[str]:
    """Return the names in the header; a column without one is named by its place.

    Raises:
        InputError: there are none, one that is wanted is missing or there twice, or another delimiter must be meant.
    """
    try:
        names = next(rows, [])
    except csv.Error as error:
        raise InputError(f"{path}: its first line is no header with the names of the columns ({error})") from error
    if not names:
        raise InputError(f"{path}: is empty; expected a header with the names of the columns")
    if not is_whole(header):
        raise InputError(f"{path}: the header {explain_bytes(header, options)}")
    meant = find_delimiter(header, path)
    if len(names) == 1 and count_fields(header, meant) > 1:
        raise InputError(
            f"{path}: its header has no {delimiter!r}; fields seem to be parted by {meant!r}: give "
            f"{options.flags}delimiter {meant!r}, or leave it out"
        )
    names = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    options.require(names, path)
    return names


def checked_rows(rows: Iterator[list[str]], width: int, path: Path) -> Iterator[list[str]]:
    """Yield the rows that follow the header, each of `width` fields, or refuse one by its number."""
    number = 0
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise InputError(f"{path}: row {number + 1:,}: {explain_quotes(error)}") from error
        if row is None:
            return
        if not row:
            if width > 1:
                continue
            row = [""]
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
        return f"a double quote is never closed, or a field is longer than {MAX_ROW:,} characters; close each"
    return f"a double quote stands within a quoted field ({error}); write it twice"
