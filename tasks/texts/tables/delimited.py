"""Delimited text: CSV and similar formats, read by Python's csv module, every field as text."""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import EmptyTable, ReadOptions
from tasks.texts.tables.folders import form_of
from tasks.texts.tables.text_file import MAX_ROW, Part, TextFile, explain_bytes, has_surrogate

DELIMITERS = (",", ";", "\t", "|")
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line
# The arguments of csv.reader for each way of writing a quote in a quoted field.
QUOTING: dict[str, dict[str, Any]] = {
    "double": {},
    "backslash": {"doublequote": False, "escapechar": "\\"},
    "none": {"quoting": csv.QUOTE_NONE},
}
SHOWN = 20  # characters of a row in a message
MAX_VALUES = 1000  # of a column, to recognise rows within a quoted field


def read_delimited(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the rows of a CSV file with a header.

    An empty field is null, except in the text column, where it is an empty text. Blank lines are skipped, except in
    a file with a single column, where they are rows with an empty field. Lines before the header are skipped if they
    are comments (#) or Excel's `sep=;`.

    Raises:
        InputError: the header is invalid, or a row has another number of fields.
    """
    csv.field_size_limit(MAX_ROW)  # for the whole process; Python's default is 128 KiB
    with TextFile(path, options, newline="") as file:
        lines = file.lines()
        header, delimiter, _ = find_header(lines, path, options)
        raw: list[str] = []
        quoting = QUOTING[options.quoting]
        rows = csv.reader(itertools.chain([header], remember(lines, raw)), delimiter=delimiter, strict=True, **quoting)
        names = column_names(rows, header, delimiter, path, options)
        empty = {options.text_column: ""}  # null in other columns
        taken = {name: place for place, name in enumerate(names) if options.takes(name)}
        check = RowCheck(file, names, delimiter, raw)
        for first, part in file.parts(check.passing(rows)):
            columns = [
                file.column(name, [row[place] or empty.get(name) for row in part], first)
                for name, place in taken.items()
            ]
            yield pa.record_batch(columns, list(taken)), file.share


def find_header(lines: Iterator[str], path: Path, options: ReadOptions) -> tuple[str, str, list[str]]:
    """Return the header, its delimiter, which a line before it may name, and the lines before it that are not blank."""
    header, delimiter, skipped = "", options.delimiter, list[str]()
    for line in lines:
        if not line.strip():
            continue
        if not skipped and (named := SEPARATOR.fullmatch(line)):
            delimiter = delimiter or named[1]
        elif not line.startswith("#") or options.text_column in re.split(r"[,;\t|]", line.strip('# "\r\n')):
            header = line
            break
        skipped.append(line.strip())
    return header, delimiter or find_delimiter(header, path), skipped


def describe_headers(paths: Iterable[Path], options: ReadOptions) -> Iterator[str]:
    """Yield a sentence about each CSV file with lines before the header or columns without a name."""
    for path in paths:
        if form_of(path)[0] not in (".csv", ".tsv"):
            continue
        with TextFile(path, options, newline="") as file:
            header, delimiter, skipped = find_header(file.lines(), path, options)
        names = split_header(header, delimiter)
        passed = [f"the line {line!r}" for line in skipped]
        passed += [f"column {place} (without a name)" for place, name in enumerate(names, 1) if not name.strip()]
        if passed:
            yield f"{path}: {', '.join(passed)} not read"


def remember(lines: Iterator[str], raw: list[str]) -> Iterator[str]:
    """Yield lines and append each to `raw`."""
    for line in lines:
        raw.append(line)
        yield line


def find_delimiter(header: str, path: Path) -> str:
    """Return the delimiter that gives the header most columns, a comma by default; a tab for .tsv."""
    if form_of(path)[0] == ".tsv":
        return "\t"
    return max(DELIMITERS, key=lambda delimiter: len(split_header(header, delimiter)))


def split_header(header: str, delimiter: str) -> list[str]:
    """Return the names in a header."""
    return next(csv.reader([header], delimiter=delimiter), [])


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
        raise EmptyTable(f"{path}: is empty; expected a header with column names")
    if has_surrogate(header):
        raise InputError(f"{path}: the header {explain_bytes(path, header, options)}")
    probable = find_delimiter(header, path)
    if len(names) == 1 and len(split_header(header, probable)) > 1:
        raise InputError(
            f"{path}: its header has no {delimiter!r}; fields seem to be separated by {probable!r}: give "
            f"{options.flags}delimiter {probable!r}, or leave it out"
        )
    names = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    options.require(names, path)
    return names


def explain_width(row: list[str], width: int) -> str:
    """Return what a row with another number of fields may be, for a message."""
    if len(row) < width and any(row):
        return f"; if {row[0][:SHOWN]!r} is a comment or a footer, remove it"
    if len(row) == width + 1 and row[0].strip() in ("0", "1"):
        return "; if the first column has row numbers, name it in the header"
    return ""


class RowCheck:
    """Checks the rows of a file as they are parsed: their number of fields, and quotes that are not closed."""

    def __init__(self, file: TextFile, names: list[str], delimiter: str, raw: list[str]) -> None:
        """`raw` is where the reader's lines are appended."""
        self._file, self._names, self._delimiter, self._raw = file, names, delimiter, raw
        options = file.options
        wanted = options.columns or {}
        # When all columns are read, none is known to be a label, but texts rarely hold tabs.
        self._refuses_at_once = options.columns is None and delimiter == "\t"
        self._values: dict[int, set[str]] = {
            place: set() for place, name in enumerate(names) if name in wanted and name != options.text_column
        }
        self._suspects: list[tuple[str, list[list[str]]]] = []

    def passing(self, rows: Iterator[list[str]]) -> Iterator[list[str]]:
        """Yield the rows after the header.

        Raises:
            InputError: one has another number of fields, or a quoted field swallows other rows.
        """
        number, width = 0, len(self._names)
        while True:
            self._raw.clear()
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise InputError(f"{self._place(number + 1)}: {self._explain_quotes(error)}") from error
            if row is None:
                return self._refuse_suspects()
            if not row and width > 1:
                continue
            row = row or [""]
            number += 1
            if len(row) != width:
                raise InputError(
                    f"{self._file.path}: row {number:,} has {len(row)} columns, expected {width}; put a text with "
                    f"commas or line breaks in double quotes, and close each{self._advice()}{explain_width(row, width)}"
                )
            if len(self._raw) > 1:
                self._suspect(number)
            else:
                self._note_values(row)
            yield row

    def _place(self, number: int) -> str:
        return f"{self._file.path}: row {number:,} (line {self._file.line_number - len(self._raw) + 1:,})"

    def _note_values(self, row: list[str]) -> None:
        for place, values in list(self._values.items()):
            values.add(row[place].strip())
            if len(values) > MAX_VALUES:
                del self._values[place]

    def _suspect(self, number: int) -> None:
        """Remember a row of several lines if each of them could be a row."""
        if not (self._values or self._refuses_at_once):
            return
        lines = [line.rstrip("\r\n").split(self._delimiter) for line in self._raw]
        if len(self._names) > 1 and all(len(fields) == len(self._names) for fields in lines):
            self._suspects.append((self._place(number), lines))
            if self._refuses_at_once:
                self._refuse_suspects()

    def _refuse_suspects(self) -> None:
        """Refuse a row of several lines if the values of another column show that they are rows."""
        for place, lines in self._suspects:
            cells = [{fields[column].strip(' "') for fields in lines} for column in self._values]
            known = any(cell <= values for cell, values in zip(cells, self._values.values(), strict=True))
            if known or self._refuses_at_once:
                raise InputError(
                    f"{place}: a double quote opens a field of {len(lines):,} lines that look like rows; close the "
                    f"quote{self._advice()}"
                )

    def _advice(self) -> str:
        """Return which setting may help."""
        flag = f"{self._file.options.flags}quoting"
        if any('\\"' in line for line in self._raw):
            return f", or give {flag} backslash if a backslash before a quote makes it part of the text"
        if any('"' in line for line in self._raw) or self._suspects:
            return f", or give {flag} none if quotes are ordinary characters in this file"
        return ""

    def _explain_quotes(self, error: csv.Error) -> str:
        """Return what is wrong with a row that csv cannot read: it is always a double quote."""
        if "unexpected end of data" in str(error) or "field larger than" in str(error):
            return (
                f"a double quote is never closed, or a field is longer than {MAX_ROW:,} characters; close each quote"
                f"{self._advice()}"
            )
        return f"a quoted field contains a double quote ({error}); write it twice{self._advice()}"
