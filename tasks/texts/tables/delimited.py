"""Delimited text: CSV and similar formats, read by Python's csv module, every field as text."""

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import EmptyTable, ReadOptions
from tasks.texts.tables.table_files import form_of
from tasks.texts.tables.text_decoding import MAX_ROW, Part, TextFile

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
        raw: list[str] = []
        lines = file.lines(raw)
        header, delimiter, skipped = find_header(lines, path, options)
        table: Iterator[str] = itertools.chain([header], lines)
        if options.quoting == "backslash":  # one has no meaning, except before what would end a field, or another one
            escape = re.compile(rf'\\["\\\r\n{re.escape(delimiter)}]|\\')
            table = (escape.sub(lambda found: found[0].rjust(2, "\\"), line) for line in table)
        rows = csv.reader(table, delimiter=delimiter, strict=True, **QUOTING[options.quoting])
        names = column_names(rows, header, delimiter, path, options)
        given = enumerate(split_header(header, delimiter), 1)
        unread = [f"the line {line!r}" for line in skipped]
        unread += [f"column {place} (without a name)" for place, name in given if not name.strip()]
        if unread and options.warn:
            options.warn(f"{path}: {', '.join(unread)} not read")
        taken = {name: place for place, name in enumerate(names) if options.takes(name)}
        checked = without_swallowed(file, check_rows(file, rows, raw, len(names)), names, delimiter)
        for part in file.parts(checked):
            columns = [
                pa.array([row[place] or ("" if name == options.text_column else None) for row in part], pa.string())
                for name, place in taken.items()
            ]
            yield pa.record_batch(columns, list(taken)), file.share


def find_header(lines: Iterator[str], path: Path, options: ReadOptions) -> tuple[str, str, list[str]]:
    """Return the header, its delimiter, which a line before it may name, and the lines before it that are not blank."""
    header, delimiter, skipped = "", options.delimiter, list[str]()
    for line in filter(str.strip, lines):
        if not skipped and (named := SEPARATOR.fullmatch(line)):
            delimiter = delimiter or named[1]
        elif line[0] != "#" or options.text_column in re.split(r"[,;\t|]", line.replace('"', "").strip("# \r\n")):
            header = line
            break
        skipped.append(line.strip())
    return header, delimiter or find_delimiter(header, path, options), skipped


def find_delimiter(header: str, path: Path, options: ReadOptions) -> str:
    """Return the delimiter that gives the header a column of texts, and most columns, a comma by default.

    It is a tab for .tsv.
    """
    if form_of(path)[0] == ".tsv":
        return "\t"

    def suits(delimiter: str) -> tuple[bool, int]:
        names = [name.strip() for name in split_header(header, delimiter)]
        return len(names) > 1 and options.text_column in names, len(names)

    return max(DELIMITERS, key=suits)


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
    probable = find_delimiter(header, path, options)
    if len(names) == 1 and len(split_header(header, probable)) > 1:
        raise InputError(
            f"{path}: its header has no {delimiter!r}; fields seem to be separated by {probable!r}: give "
            f"{options.flags}delimiter {probable!r}, or leave it out"
        )
    names = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    options.require(names, path, "; if its first row is data, add a row of column names before it")
    return names


def check_rows(
    file: TextFile, rows: Iterator[list[str]], raw: list[str], width: int
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the number, lines and fields of each row after the header; `raw` receives the lines.

    Raises:
        InputError: one has another number of fields than `width`, or a quote is wrong.
    """
    number, options = 0, file.options
    raw.clear()
    try:
        for row in rows:
            lines = [*raw]
            raw.clear()
            if not row and width > 1:
                continue
            number += 1
            row = row or [""]
            if len(row) != width:
                raise InputError(
                    f"{file.path}: row {number:,} has {len(row)} columns, expected {width}; put a text with commas or "
                    f"line breaks in double quotes, and close each{quoting_advice(lines, options)}"
                    f"{explain_width(row, width)}"
                )
            yield number, lines, row
    except csv.Error as error:
        where = f"{file.path}: row {number + 1:,} (line {file.line_number - len(raw) + 1:,})"
        raise InputError(f"{where}: {explain_quotes(error)}{quoting_advice(raw, options)}") from error


def without_swallowed(
    file: TextFile, rows: Iterator[tuple[int, list[str], list[str]]], names: list[str], delimiter: str
) -> Iterator[list[str]]:
    """Yield the fields of rows, or refuse one of several lines that look like rows: a quote is not closed.

    All its lines have known values in a column that is not the text, or tabs, which texts rarely hold.
    """
    columns, text = file.options.columns or {}, file.options.text_column
    known = {place: set[str]() for place, name in enumerate(names) if name in columns and name != text}
    suspects: list[tuple[str, list[str]]] = []
    for number, lines, row in rows:
        if len(lines) == 1:
            for place, values in known.items():
                if len(values) < MAX_VALUES:
                    values.add(row[place].strip())
        elif len(names) > 1 and all(line.count(delimiter) == len(names) - 1 for line in lines):
            suspects.append((f"{file.path}: row {number:,} (line {file.line_number - len(lines) + 1:,})", lines))
            if delimiter == "\t":
                break
        yield row
    for where, lines in suspects:
        fields = [line.rstrip("\r\n").split(delimiter) for line in lines]
        # Rows may lack a label, and the lines of a letter end with a comma.
        found = ({row[place].strip(' "') for row in fields} <= values - {""} for place, values in known.items())
        if delimiter == "\t" or any(found):
            raise InputError(
                f"{where}: a double quote opens a field of {len(lines):,} lines that look like rows; close the "
                f"quote{quoting_advice(lines, file.options)}"
            )


def explain_width(row: list[str], width: int) -> str:
    """Return what a row with another number of fields may be, for a message."""
    if len(row) < width and any(row):
        return f"; if {row[0][:SHOWN]!r} is a comment or a footer, remove it"
    if len(row) == width + 1 and row[0].strip() in ("0", "1"):
        return "; if the first column has row numbers, name it in the header"
    return ""


def quoting_advice(lines: list[str], options: ReadOptions) -> str:
    """Return which setting may help to read a row."""
    if any('\\"' in line for line in lines):
        return f", or give {options.flags}quoting backslash if a backslash before a quote makes it part of the text"
    if any('"' in line for line in lines):
        return f", or give {options.flags}quoting none if quotes are ordinary characters in this file"
    return ""


def explain_quotes(error: csv.Error) -> str:
    """Return what is wrong with a row that csv cannot read: it is always a double quote."""
    if "unexpected end of data" in str(error) or "field larger than" in str(error):
        return f"a double quote is never closed, or a field is longer than {MAX_ROW:,} characters; close each quote"
    return f"a quoted field contains a double quote ({error}); write it twice"
