"""Columns: which ones are read from a table, and those that need a value in every row."""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.errors import InputError

PLAIN_KINDS = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean,
               pa.types.is_decimal, pa.types.is_null)  # fmt: skip


class EmptyTable(InputError):
    """A table has no header."""


class MissingColumn(InputError):
    """A table lacks columns that are to be read, first of all `column`."""

    column = ""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a table.

    Attributes:
        columns: the columns to read, each with the flag that names it; None reads all of them unchanged.
        encoding: Python's name of the encoding; ignored for Parquet.
        delimiter: between CSV fields; None detects it in the header.
        quoting: "double", "backslash" or "none": how CSV writes a quote in a quoted field.
        flags: prefix of the other flags that messages name.
        warn: called with a line about what is not read of a file.
        label_column: the column of the labels, which Hugging Face's metadata and folders of text files name.
    """

    text_column: str = "text"
    columns: Mapping[str, str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    flags: str = "--"
    quoting: str = "double"
    warn: Callable[[str], None] | None = None
    label_column: str = "label"

    def takes(self, name: str) -> bool:
        """Return whether to read a column."""
        return self.columns is None or name in self.columns

    def require(self, names: list[str], path: Path, if_none: str = "") -> None:
        """Refuse a table with the given column names if a column to read is missing or appears twice.

        `if_none` is added to the message if the table has none of them.
        """
        wanted = self.columns or {self.text_column: f"{self.flags}text-column"}
        if missing := [column for column in wanted if column not in names]:
            others = [name for name in names if name not in wanted]
            flags = " ".join(f"{wanted[column]}{suggest(column, others)}" for column in missing)
            lacks, it = ("column", "it") if len(missing) == 1 else ("columns", "them")
            error = MissingColumn(
                f"{path}: has no {lacks} {' and '.join(map(repr, missing))}, only "
                f"{', '.join(f'{name:.40}' for name in names)}; name {it} with {flags}"
                f"{if_none if len(missing) == len(wanted) else ''}"
            )
            error.column = missing[0]
            raise error
        for name, count in Counter(names).items():
            if count > 1 and self.takes(name):
                raise InputError(f"{path}: has the column {name!r} twice; rename one")


def suggest(column: str, names: list[str]) -> str:
    """Return the one name that is that of a column in another case, or contains it, for a shell; else ""."""
    wanted, folded = column.casefold(), {name: name.casefold() for name in names}
    alike = [name for name in names if folded[name] == wanted] or [name for name in names if wanted in folded[name]]
    return f" {shlex.quote(alike[0])}" if len(alike) == 1 else ""


def texts_of(batch: pa.RecordBatch, column: str, path: Path, rows: np.ndarray) -> pa.Array:
    """Return the texts of a batch; they may be empty but not null. `rows` are their (n,) numbers in the file, from 1.

    Raises:
        InputError: the column has another type, or a row has no text.
    """
    texts = batch.column(column)
    if not pa.types.is_string(texts.type):
        raise InputError(f"{path}: the column {column!r} holds {texts.type}, expected text")
    refuse_missing(texts.is_null(), "no text", column, path, rows)
    return texts


def strings_of(batch: pa.RecordBatch, column: str, path: Path, flag: str = "its flag") -> pa.Array:
    """Return a column of text, numbers or booleans as strings, "" for null; `flag` names the column."""
    values = batch.column(column)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if not any(is_kind(kind) for is_kind in PLAIN_KINDS):
        # Only Parquet has other types.
        others = [f"{field.name!r} ({field.type})" for field in pq.read_schema(path) if field.name != column]
        raise InputError(
            f"{path}: the column {column!r} holds {kind}, expected text or numbers; name another column with {flag}"
            f"{'; it has ' if others else ''}{', '.join(others)}"
        )
    return values.cast(pa.string()).fill_null("")


def required_strings(batch: pa.RecordBatch, column: str, path: Path, rows: np.ndarray) -> list[str]:
    """Return a column as unstripped strings, or refuse one with a blank value; `rows` as in `texts_of`."""
    values = strings_of(batch, column, path)
    refuse_missing(pc.equal(pc.utf8_trim_whitespace(values), ""), "nothing", column, path, rows)
    strings: list[str] = values.to_pylist()
    return strings


def refuse_missing(is_missing: pa.Array, what: str, column: str, path: Path, rows: np.ndarray) -> None:
    """Raise an InputError that names the first row with a missing value."""
    if (place := pc.index(is_missing, True).as_py()) >= 0:
        raise InputError(f"{path}: row {rows[place]:,} has {what} in {column!r}; fill it in or remove the row")
