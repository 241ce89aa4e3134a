"""Columns: which ones are read from a table, and those that need a value in every row."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.errors import InputError


@dataclass(frozen=True)
class ReadOptions:
    """How to read a table.

    Attributes:
        text_column: the column of the texts.
        columns: the columns to read, each with the flag that names it; None reads all of them unchanged.
        encoding: Python's name of the encoding; ignored for Parquet.
        delimiter: between CSV fields; None detects it in the header.
        flags: prefix of the other flags that messages name.
    """

    text_column: str = "text"
    columns: Mapping[str, str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    flags: str = "--"

    def takes(self, name: str) -> bool:
        """Return whether to read a column."""
        return self.columns is None or name in self.columns

    def require(self, names: list[str], path: Path) -> None:
        """Refuse a table with the given column names if a column to read is missing or appears twice."""
        for column, flag in (self.columns or {self.text_column: f"{self.flags}text-column"}).items():
            if column not in names:
                raise InputError(f"{path}: has no column {column!r}, only {', '.join(names)}; name it with {flag}")
        for name, count in Counter(names).items():
            if count > 1 and self.takes(name):
                raise InputError(f"{path}: has the column {name!r} twice; rename one")


def texts_of(batch: pa.RecordBatch, column: str, path: Path, first: int) -> pa.Array:
    """Return the texts of a batch, which may be empty but not null.

    Args:
        batch: rows of `path`.
        column: the column of the texts.
        path: for messages.
        first: number of rows before the batch.

    Raises:
        InputError: the column has another type, or a row has no text.
    """
    texts = batch.column(column)
    if not pa.types.is_string(texts.type):
        raise InputError(f"{path}: the column {column!r} holds {texts.type}, expected text")
    refuse_missing(texts.is_null(), "no text", column, path, first)
    return texts


def strings_of(batch: pa.RecordBatch, column: str, path: Path) -> pa.Array:
    """Return a column of text, numbers or booleans as stripped strings, "" for null."""
    values = batch.column(column)
    kind = values.type
    if not (
        pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    ):
        raise InputError(f"{path}: the column {column!r} holds {kind}, expected text or numbers")
    return pc.utf8_trim_whitespace(values.cast(pa.string()).fill_null(""))


def required_strings(batch: pa.RecordBatch, column: str, path: Path, first: int) -> list[str]:
    """Return a column as unstripped strings, or refuse one with a blank value."""
    refuse_missing(pc.equal(strings_of(batch, column, path), ""), "nothing", column, path, first)
    values: list[str] = batch.column(column).cast(pa.string()).to_pylist()
    return values


def refuse_missing(is_missing: pa.Array, what: str, column: str, path: Path, first: int) -> None:
    """Raise an InputError that names the first row with a missing value."""
    if (place := pc.index(is_missing, True).as_py()) >= 0:
        raise InputError(f"{path}: row {first + place + 1:,} has {what} in {column!r}; fill it in or remove the row")
