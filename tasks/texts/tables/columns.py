"""Columns of a batch: those that must have something in every row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.errors import InputError


def texts_of(batch: pa.RecordBatch, column: str, path: Path, first: int) -> pa.Array:
    """Return the texts of a batch; one may be empty, but none may be null.

    Args:
        batch: rows of `path`.
        column: the column that holds them.
        path: for messages.
        first: the row of the file that the batch begins with, from 0.

    Raises:
        InputError: the column holds something else, or a row has no text.
    """
    texts = batch.column(column)
    if not pa.types.is_string(texts.type):
        raise InputError(f"{path}: the column {column!r} holds {texts.type}, expected text")
    if texts.null_count:
        row = first + texts.is_null().to_pylist().index(True)
        raise InputError(f"{path}: row {row + 1:,} has no text in {column!r}; fill it in or remove the row")
    return texts


def named(batch: pa.RecordBatch, column: str, path: Path) -> pa.Array:
    """Return a column of names or numbers as text without outer blanks, "" where there is nothing.

    Raises:
        InputError: the column holds something else.
    """
    values = batch.column(column)
    kind = values.type
    if not (
        pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    ):
        raise InputError(f"{path}: the column {column!r} holds {kind}, expected text or numbers")
    return pc.utf8_trim_whitespace(values.cast(pa.string()).fill_null(""))


def filled(batch: pa.RecordBatch, column: str, path: Path, first: int) -> list[str]:
    """Return a column as text, or refuse one that cannot be, or a row that has nothing there but blanks."""
    is_empty = pc.equal(named(batch, column, path), "")
    if pc.any(is_empty).as_py():
        row = first + is_empty.to_pylist().index(True)
        raise InputError(f"{path}: row {row + 1:,} has nothing in {column!r}; fill it in or remove the row")
    found: list[str] = batch.column(column).cast(pa.string()).to_pylist()
    return found
