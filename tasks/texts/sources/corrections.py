"""Corrections: labels of your own texts that a file changes, and rows that it drops."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.data_settings import SourceSettings, is_address
from tasks.core.errors import InputError
from tasks.core.user_paths import user_path
from tasks.texts.sources.labels import DROP, appearance, plain_label
from tasks.texts.sources.layouts import labelled_files
from tasks.texts.tables.columns import MissingColumn, ReadOptions, required_strings, strings_of
from tasks.texts.tables.reading import read_batches
from tasks.texts.tables.table_files import LABELLED, table_files

COLUMNS = (("file", "row", "text"), ("file", "row"), ("text",))  # of corrections, with the label; the first that exist


def plain_texts(texts: pa.Array) -> pa.Array:
    """Return texts with single spaces, because spreadsheets change line ends."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(texts.cast(pa.string()), r"\s+", " "))


def row_keys(files: pa.Array, rows: pa.Array) -> pa.Array:
    """Return names of rows, as in messages."""
    return pc.binary_join_element_wise(files, rows, " row ")


def read_corrections(path: Path) -> tuple[pa.Table, bool]:
    """Return key, label and text (null if unknown) of each correction, and whether keys are of rows, not texts.

    Raise InputError if a column or value is missing, or two rows contradict each other.
    """
    batches: list[pa.RecordBatch] = []
    for names in COLUMNS:
        options = ReadOptions(columns=dict.fromkeys(["label", *names], ""), flags="")
        with contextlib.suppress(MissingColumn):
            batches = [batch for file in table_files(path, LABELLED) for batch in read_batches(file, options)]
            break
    if not batches:
        raise InputError(f"{path}: expected rows with the columns label, and text or file and row")
    by_row, table, rows = "file" in names, pa.Table.from_batches(batches), 1 + np.arange(sum(map(len, batches)))
    labels = pc.utf8_trim_whitespace(pa.array(required_strings(table, "label", path, rows)))
    texts = plain_texts(strings_of(table, "text", path)) if "text" in names else pa.nulls(len(rows), pa.string())
    if by_row:
        files, numbers = (required_strings(table, name, path, rows) for name in ("file", "row"))
        keys = row_keys(pa.array(files), pa.array([plain_label(number) for number in numbers]))
    else:
        keys = texts
    firsts = pc.index_in(keys, keys)
    if (at := pc.index(pc.not_equal(labels, labels.take(firsts)), True).as_py()) >= 0:
        raise InputError(f"{path}: rows {firsts[at].as_py() + 1:,} and {at + 1:,} give a text two labels; remove one")
    return pa.table({"key": keys, "label": labels, "text": texts}).combine_chunks(), by_row


class Corrections:
    """The corrections that the settings name, if any, and which have been applied."""

    def __init__(self, settings: SourceSettings) -> None:
        """Read them; raise InputError if they are among the texts."""
        self._path = user_path(settings.corrections) if settings.corrections else None
        if self._path:
            texts = () if is_address(settings.dataset) else labelled_files(user_path(settings.dataset))
            if self._path.resolve() in [file.resolve() for file in texts]:
                raise InputError(f"{self._path}: would be read as texts of {settings.dataset}, too; move it elsewhere")
            self._table, self._by_row = read_corrections(self._path)
            self._firsts = pc.index_in(self._table["key"], self._table["key"]).to_numpy()
            self._used = np.zeros(len(self._table), bool)

    def apply(self, labels: pa.Array, texts: pa.Array, files: pa.Array, rows: np.ndarray) -> tuple[pa.Array, pa.Array]:
        """Return n labels after the corrections, which may be `DROP`, and those before, null without a correction.

        Raise InputError if the text of a row is not that of its correction, or `DROP` is a label.
        """
        if not self._path:
            return labels, pa.nulls(len(labels), pa.string())
        texts, names = plain_texts(texts), row_keys(files, pa.array(rows).cast(pa.string()))
        places = pc.index_in(names if self._by_row else texts, self._table["key"])
        self._used[places.drop_null()] = True
        given = self._table.take(places)
        if (at := pc.index(pc.not_equal(given["text"], texts), True).as_py()) >= 0:
            raise InputError(
                f"{self._path}: row {places[at].as_py() + 1:,} has another text than {names[at]}; was the file changed?"
            )
        if drops := [label for label in labels.unique().to_pylist() if appearance(label) == DROP]:
            at = pc.index(labels, drops[0]).as_py()
            raise InputError(f"{names[at]}: has the label {drops[0]!r}; rename this label to use corrections")
        before = pa.array([plain_label(label) for label in labels.to_pylist()], pa.string(), mask=places.is_null())
        return pc.coalesce(given["label"], labels).combine_chunks(), before

    def check_used(self) -> None:
        """Raise InputError, which names the first, if there are corrections that match nothing."""
        if self._path and (unused := np.flatnonzero(~self._used[self._firsts])).size:
            key = self._table["key"][unused[0]] if self._by_row else "a text"
            raise InputError(
                f"{self._path}: row {unused[0] + 1:,} corrects {key}, which the dataset lacks; correct or remove this "
                f"row{f', and {len(unused) - 1:,} others' if len(unused) > 1 else ''}"
            )


def original_labels(before: pa.ChunkedArray, labels: np.ndarray, names: Sequence[str]) -> pa.ChunkedArray:
    """Return the numbers of n labels before the corrections, null if unknown; `before` is as of `Corrections.apply`."""
    return pc.if_else(pc.is_null(before), pa.array(labels), pc.index_in(before, pa.array(names)).cast(pa.int16()))
