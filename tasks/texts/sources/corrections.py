"""Corrections: labels of your own texts that a file changes, and rows that it drops."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.core.paths import user_path
from tasks.texts.padded import SPLITS
from tasks.texts.sources.labels import plain_label
from tasks.texts.tables.columns import MissingColumn, ReadOptions, required_strings, strings_of
from tasks.texts.tables.reading import read_batches

DROP = "drop"
Place = tuple[str, str]  # a file and a row in it; or "" and a text


class Correction(NamedTuple):
    """A row's label or `DROP`, its text if it is found by file and row, and the row of the corrections."""

    label: str
    text: str | None
    row: int


def plain_text(text: str | None) -> str:
    """Return a text with single spaces, because spreadsheets change line ends."""
    return " ".join((text or "").split())


def read_corrections(path: Path) -> dict[Place, Correction]:
    """Return the corrections in a table with label, and file and row or text.

    Raises:
        InputError: a column or value is missing, or two rows contradict each other.
    """
    corrections: dict[Place, Correction] = {}
    first = 1
    try:
        for batch in read_batches(path, ReadOptions("label")):
            rows, names = first + np.arange(len(batch)), set(batch.schema.names)
            first += len(batch)
            needed = ("file", "row") if {"file", "row"} <= names else ("text",)
            if not names.issuperset(needed):
                raise MissingColumn(f"{path}: has the columns {', '.join(sorted(names))}")
            labels, *places = (required_strings(batch, name, path, rows) for name in ("label", *needed))
            texts = strings_of(batch, "text", path).to_pylist() if "text" in names else [None] * len(batch)
            for row, label, text, *place in zip(rows.tolist(), labels, texts, *places, strict=True):
                key = (place[0], plain_label(place[1])) if len(place) == 2 else ("", plain_text(text))
                known = corrections.setdefault(key, Correction(label.strip(), text, row))
                if known.label != label.strip():
                    raise InputError(
                        f"{path}: rows {known.row:,} and {row:,} give the same text the labels {known.label!r} and "
                        f"{label.strip()!r}; remove one"
                    )
    except MissingColumn as error:
        raise InputError(f"{path}: expected the columns label, and text or file and row") from error
    return corrections


class Corrections:
    """The corrections in a file, and which have been applied."""

    def __init__(self, settings: SourceSettings) -> None:
        """Read the file that the settings name, if any."""
        self._path = user_path(settings.corrections) if settings.corrections else None
        self._known = read_corrections(self._path) if self._path else {}
        self._unused, self._by_row = dict(self._known), any(file for file, _row in self._known)

    def apply(
        self, labels: pa.Array, texts: pa.Array, files: pa.Array, rows: np.ndarray
    ) -> tuple[pa.Array, pa.Array, np.ndarray]:
        """Return n labels after the corrections, those before or null without a correction, and (n,) dropped.

        Raises:
            InputError: the text of a row is not that of the correction.
        """
        after, dropped = labels.to_pylist(), np.zeros(len(labels), bool)
        before: list[str | None] = [None] * len(labels)
        origins = zip(files.to_pylist(), rows.tolist(), texts.to_pylist(), strict=True) if self._known else ()
        for at, (file, row, text) in enumerate(origins):
            place = (file, str(row)) if self._by_row else ("", plain_text(text))
            if correction := self._known.get(place):
                self._unused.pop(place, None)
                if correction.text is not None and plain_text(correction.text) != plain_text(text):
                    raise InputError(
                        f"{self._path}: row {correction.row:,} has another text than {file} row {row:,}, which it "
                        "corrects; was the file changed?"
                    )
                before[at], after[at], dropped[at] = plain_label(after[at]), correction.label, correction.label == DROP
        return pa.array(after, pa.string()), pa.array(before, pa.string()), dropped

    def finish(self, names: Sequence[str]) -> None:
        """Refuse corrections that match nothing, and drops if that is also a label.

        Raises:
            InputError: names the first.
        """
        if self._unused:
            (file, place), first = next(iter(self._unused.items()))
            where = f"{file} row {place}" if file else "its text"
            raise InputError(
                f"{self._path}: row {first.row:,} corrects {where}, which the dataset lacks (as {len(self._unused):,} "
                "of its rows); correct or remove it"
            )
        if self._known and DROP in names:
            raise InputError(f"{self._path}: {DROP!r} is a label of the dataset; rename that label to use corrections")


def original_labels(before: pa.ChunkedArray, labels: np.ndarray, names: Sequence[str]) -> pa.ChunkedArray:
    """Return the numbers of n labels before the corrections; null if the label has no number.

    `before` are their names, null without a correction, `labels` are (n,) numbers after the corrections.
    """
    return pc.if_else(pc.is_null(before), pa.array(labels), pc.index_in(before, pa.array(names)).cast(pa.int16()))


def count_corrections(
    original: pa.ChunkedArray, labels: np.ndarray, dropped: np.ndarray, split: np.ndarray
) -> dict[str, Any]:
    """Return how many labels are "changed" and rows "dropped" in each split; arguments are of n rows."""
    changed = pc.fill_null(pc.not_equal(original, pa.array(labels)), True).to_numpy() & ~dropped
    return {
        name: {"changed": int(changed[split == place].sum()), "dropped": int(dropped[split == place].sum())}
        for place, name in enumerate(SPLITS)
    }
