"""Columns of your own files except the text, read and checked: labels, groups, splits, and hashes of the texts."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS
from tasks.texts.sources.labels import Labels, Warn, appearance, describe_spellings, is_missing
from tasks.texts.sources.splitting import LEFT_OUT, REMOVED, SPLIT_NAMES, TEST, TRAIN, VALIDATION, hash_texts
from tasks.texts.tables.columns import required_strings, strings_of, texts_of

ROWS_NAMED = 5
MIN_TRAINING_ROWS = 2  # of each label
Batches = Iterable[tuple[Path, int, pa.RecordBatch]]  # each with its file and the number of rows before it
UNLABELLED = "-1"  # in some datasets; in others it is the negative label


@dataclass(frozen=True)
class Columns:
    """Everything about n rows except their texts.

    Attributes:
        first_rows: file and row in which each label appears first, in this order.
        labels: (n,) int16 places in `first_rows`.
        texts: (n,) uint64 hashes.
        keep: (m,) bool, which of all rows are the n rows.
        notes: lines about labels and rows left out.
        groups: (n,) uint64 hashes; None without a group column.
        splits: (n,) int8 places in SPLITS; None unless a column or the names of files say them.
    """

    first_rows: dict[str, str]
    labels: np.ndarray
    texts: np.ndarray
    keep: np.ndarray
    notes: list[str]
    groups: np.ndarray | None = None
    splits: np.ndarray | None = None


class ColumnReader:
    """Collects the columns of batch after batch."""

    def __init__(self, path: Path, settings: SourceSettings, file_splits: dict[Path, int] | None) -> None:
        """Start with no rows; `file_splits` is the split of each file, if their names say it: places in SPLITS."""
        self._path, self._settings, self._file_splits = path, settings, file_splits
        self._labels = Labels(path, settings.label_column)
        dtypes = {"labels": np.int16, "texts": np.uint64, "keep": np.bool_}
        self._parts = defaultdict[str, list[np.ndarray]](list, {name: [np.zeros(0, dtypes[name])] for name in dtypes})
        self._drops = {appearance(label): label for label in settings.drop_labels}
        self._left_out: Counter[str | None] = Counter()  # rows by dropped label, None without a label
        self._first_missing, self._unsupervised = "", 0

    def add(self, file: Path, first: int, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch that has `first` rows of its file before it.

        Raises:
            InputError: a column is missing, a row has an invalid text, group or split, or labels look alike.
        """
        settings, parts = self._settings, self._parts
        splits = np.full(len(batch), self._file_splits[file] if self._file_splits else TRAIN, np.int8)
        if settings.split_column:
            splits = read_splits(required_strings(batch, settings.split_column, file, first), file, first)
        keep = splits != LEFT_OUT
        self._unsupervised += int((~keep).sum())
        labels = strings_of(batch, settings.label_column, file, "--data.label-column").to_pylist()
        self._leave_out(labels, keep, file, first)
        parts["keep"].append(keep)
        if settings.split_column or self._file_splits:
            parts["splits"].append(splits[keep])
        texts = texts_of(batch, settings.text_column, file, first, keep).to_pylist()
        parts["texts"].append(hash_texts(texts, settings.split_seed))
        rows = np.flatnonzero(keep)
        parts["labels"].append(self._labels.places_of([labels[row] for row in rows], file, first + 1 + rows))
        if settings.group_column:
            names = required_strings(batch, settings.group_column, file, first)
            parts["groups"].append(hash_texts([names[row].strip() for row in rows], settings.split_seed))

    def _leave_out(self, labels: list[str], keep: np.ndarray, file: Path, first: int) -> None:
        """Set `keep` to False for rows that have no label or one that is dropped."""
        reasons: dict[str, str | None] = {label: None for label in set(labels) if is_missing(label)}
        reasons |= {label: self._drops[key] for label in set(labels) if (key := appearance(label)) in self._drops}
        for row in np.flatnonzero(keep) if reasons else ():
            if (label := labels[row]) in reasons:
                keep[row] = False
                self._left_out[reasons[label]] += 1
                if reasons[label] is None and not self._first_missing:
                    found = repr(label) if label.strip() else "nothing"
                    column = repr(self._settings.label_column)
                    self._first_missing = f"{file}: row {first + row + 1:,} has {found} in {column}"

    def finish(self) -> Columns:
        """Return the columns of all rows that are kept.

        Raises:
            InputError: labels are missing, no row has a label to drop, or there are no train or no test rows.
        """
        settings, missing = self._settings, self._left_out[None]
        if missing and settings.unlabelled == "refuse":
            raise InputError(
                f"{self._first_missing}, the first of {missing:,} without a label; fill them in (or rename the "
                "label, if this is one), or leave these rows out: --data.unlabelled drop"
            )
        for label in self._drops.values():
            if label not in self._left_out:
                raise InputError(f"{self._path}: no row has the label {label!r} that --data.drop-labels names")
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        if not {TRAIN, TEST} <= set(columns.get("splits", [TRAIN, TEST])):
            where = f"the column {settings.split_column!r}" if settings.split_column else "the split"
            raise InputError(f"{self._path}: {where} names no train or no test rows")
        return Columns(self._labels.first_rows, notes=self._notes(columns["labels"]), **columns)

    def _notes(self, labels: np.ndarray) -> list[str]:
        known, path = self._labels, self._path
        notes = [describe_spellings(known.spellings, path)] if known.spellings else []
        left_out = [(count, "without a label" if label is None else f"with the label {label!r}")
                    for label, count in self._left_out.items()]  # fmt: skip
        left_out.append((self._unsupervised, "of an unsupervised split"))
        notes += [f"{path}: {count:,} rows {which} left out" for count, which in left_out if count]
        if UNLABELLED in known.first_rows and len(known.first_rows) > 2:
            count = int((labels == list(known.first_rows).index(UNLABELLED)).sum())
            notes.append(
                f"{path}: {count:,} rows have the label -1, which is trained on; if it marks unlabelled rows, leave "
                "them out: --data.drop-labels -1"
            )
        return notes


def read_splits(names: list[str], file: Path, first: int) -> np.ndarray:
    """Return the split of each row: (n,) int8 places in SPLITS, or LEFT_OUT."""
    places = [SPLIT_NAMES.get(name.strip().lower()) for name in names]
    if None in places:
        row = places.index(None)
        raise InputError(
            f"{file}: row {first + row + 1} has the split {names[row]!r}; expected train, validation or test"
        )
    return np.array(places, np.int8)


def check_classes(
    labels: np.ndarray, first_rows: dict[str, str], split: np.ndarray, settings: SourceSettings, path: Path, warn: Warn
) -> dict[str, Any]:
    """Return the rows of each split, and of each label in it, and warn of rare labels.

    `labels` are (n,) places in `first_rows`, which has file and row of each label, and `split` (n,) places in SPLITS.

    Raises:
        InputError: a split has no row of a label, or training has only one.
    """
    splits, names = {}, list(first_rows)
    min_share = settings.min_class_share * 2 / len(names)
    for place, name in enumerate(SPLITS):
        counts = np.bincount(labels[split == place], minlength=len(names))
        rows, rarest = int(counts.sum()), int(counts.argmin())
        if not rows:
            continue
        label, count = f"the label {names[rarest]!r} (first in {first_rows[names[rarest]]})", int(counts[rarest])
        if not count or (place == TRAIN and count < MIN_TRAINING_ROWS):
            raise InputError(
                f"{path}: {count or 'none'} of the {rows:,} {name} rows has {label}; give more rows, split them "
                "differently (--data.group-column, --data.split-seed), or name their splits (--data.split-column)"
            )
        if count < min_share * rows:
            warn(f"{path}: only {count:,} of the {rows:,} {name} rows have {label}")
        splits[name] = {"rows": rows, "labels": dict(zip(names, counts.tolist(), strict=True))}
    return {"splits": splits}


def without_leaks(texts: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return the splits with `REMOVED` for training rows whose text is in validation or test, validation's in test.

    Both arguments are (n,): hashes, and places in SPLITS.
    """
    in_test, held_out = np.isin(texts, texts[split == TEST]), np.isin(texts, texts[split != TRAIN])
    leaks = ((split == TRAIN) & held_out) | ((split == VALIDATION) & in_test)
    return np.where(leaks, REMOVED, split).astype(np.int8)


def check_leaks(
    texts: np.ndarray, split: np.ndarray, settings: SourceSettings, path: Path, written: Path
) -> dict[str, Any]:
    """Count validation and test rows with a training text (`leaks`), and repeated texts in a split (`duplicates`).

    `texts` are (n,) hashes, `split` (n,) places in SPLITS; `written` is texts.parquet, with file and row of each text.

    Raises:
        InputError: there are more leaks than the limit.
    """
    is_train, is_held_out = split == TRAIN, (split == VALIDATION) | (split == TEST)
    leaks = np.flatnonzero(is_held_out & np.isin(texts, texts[is_train]))
    held_out = int(is_held_out.sum())
    if settings.leaks == "refuse" and len(leaks) > settings.max_leaks * max(held_out, 1):
        origins = pq.read_table(written, columns=["file", "row"]).take(pa.array(leaks[:ROWS_NAMED])).to_pylist()
        rows = ", ".join(f"{origin['file']} row {origin['row']}" for origin in origins)
        raise InputError(
            f"{path}: {len(leaks):,} of {held_out:,} validation and test rows have the text of a training row "
            f"({rows}{', …' if len(leaks) > ROWS_NAMED else ''}); leave --data.leaks out to train without them, or "
            f"raise --data.max-leaks ({settings.max_leaks})"
        )
    distinct = sum(len(np.unique(texts[split == place])) for place in range(len(SPLITS)))
    return {
        "leaks": len(leaks),
        "removed": int((split == REMOVED).sum()),
        "duplicates": int((split != REMOVED).sum()) - distinct,
    }
