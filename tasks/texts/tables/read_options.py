"""What is wanted of a table, and what of it all forms share: limits, parts and columns as Arrow holds them."""

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tasks.core.errors import InputError

ROWS_PER_PART = 1024
CHARACTERS_PER_PART = 4 << 20  # so many, and one row more, are in memory before they become a batch
MAX_ROW = 64 << 20  # characters

# charset_normalizer is imported inside the function that needs it, which runs for a message alone.

MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
FOREIGN = 0.3
SAMPLE = 1 << 16


def guess_encoding(raw: bytes) -> str:
    """Return the encoding that bytes which are not UTF-8 are probably in, by a name that Python knows.

    Languages in Latin letters have few others, and such files come from Windows; the rest is left to statistics.
    """
    raw = raw[:SAMPLE]
    if wide := wide_encoding(raw):
        return wide
    if sum(byte > 127 for byte in raw) <= FOREIGN * len(raw):
        return "windows-1252"
    from charset_normalizer import from_bytes

    best = from_bytes(raw).best()
    return best.encoding if best else "windows-1252"


def wide_encoding(raw: bytes) -> str | None:
    """Return UTF-16 or UTF-32 where a file begins as they do: with their mark, or a 0 in every second byte."""
    for mark, name in MARKS:
        if raw.startswith(mark):
            return name
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(raw) >= 4 and not any(raw[first:64:2]) and all(raw[1 - first : 64 : 2]):
            return name
    return None


# A batch, and the share of the file, from 0 to 1, that has been read with it.
Part = tuple[pa.RecordBatch, float]


@dataclass(frozen=True)
class ReadOptions:
    """What is wanted of a table, and how to read it.

    Attributes:
        text_column: the column of the texts; of a .txt file its only one.
        columns: those that are read, each with the flag that names it; None reads all, as they are.
        encoding: of the characters, by Python's name; not of Parquet, which has its own.
        delimiter: between the fields of CSV; None finds it in the header.
        flags: how the other flags that are named in messages begin on the command line that is running.
    """

    text_column: str = "text"
    columns: Mapping[str, str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    flags: str = "--"

    def takes(self, name: str) -> bool:
        """Return whether a column is read."""
        return self.columns is None or name in self.columns

    def require(self, names: list[str], path: Path) -> None:
        """Refuse a table that lacks a column that is wanted, or has it twice.

        Raises:
            InputError: with the columns that there are, and the flag that names another.
        """
        for column, flag in (self.columns or {self.text_column: f"{self.flags}text-column"}).items():
            if column not in names:
                raise InputError(f"{path}: has no column {column!r}, only {', '.join(names)}; name it with {flag}")
        for name, count in Counter(names).items():
            if count > 1 and self.takes(name):
                raise InputError(f"{path}: has the column {name!r} twice; rename one")


def strings(values: Sequence[str | None], path: Path, name: str, first: int, options: ReadOptions) -> pa.Array:
    """Return a column of a text file.

    Args:
        values: as they were read, with bytes that could not be decoded kept as lone surrogates.
        path: for messages.
        name: of the column.
        first: the row of the file that the first value stands in, from 0.
        wanted: the encoding that was tried.

    Raises:
        InputError: a value holds bytes that are not in that encoding, or half of a character.
    """
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        is_bad = [value is not None and not is_whole(value) for value in values]
        row = is_bad.index(True)
        raise InputError(
            f"{path}: row {first + row + 1:,}, {name!r}: {explain_bytes(values[row] or '', options)}"
        ) from None


def is_whole(text: str) -> bool:
    """Return whether a text holds whole characters only."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def explain_bytes(text: str, options: ReadOptions) -> str:
    """Return what is wrong with a text that is not whole, and the remedy."""
    try:
        raw = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return "holds half of a character (a \\u escape without its other half); write the whole one"
    return (
        f"holds bytes that are not {options.encoding.upper()}; they are probably {guess_encoding(raw)}: give "
        f"{options.flags}encoding {guess_encoding(raw)}, or save the file as UTF-8"
    )
