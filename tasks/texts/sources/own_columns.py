"""Columns of your own files except the text, read and checked: labels, groups, splits, and hashes of the texts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.dataset import MAX_LABELS
from tasks.texts.padded import SPLITS
from tasks.texts.sources.labels import Labels
from tasks.texts.sources.splitting import REMOVED, SPLIT_NAMES, TEST, TRAIN, VALIDATION, hash_texts
from tasks.texts.tables.columns import required_strings, texts_of

ROWS_NAMED = 5
MIN_TRAINING_ROWS = 2  # of each label


@dataclass(frozen=True)
class Columns:
    """Everything about n rows except their texts.

    Attributes:
        label_names: in order of appearance.
        label_rows: file and row in which each label appears first.
        spellings: other spellings of labels, each with its label's name.
        labels: (n,) int16 places in `label_names`.
        texts: (n,) uint64 hashes.
        groups: (n,) uint64 hashes; None without a group column.
        splits: (n,) int8 places in SPLITS; None without a split column.
    """

    label_names: list[str]
    label_rows: list[str]
    spellings: dict[str, str]
    labels: np.ndarray
    texts: np.ndarray
    groups: np.ndarray | None
    splits: np.ndarray | None


def read_columns(path: Path, settings: SourceSettings, batches: Iterable[tuple[Path, int, pa.RecordBatch]]) -> Columns:
    """Collect the columns of batches, each with its file and the number of rows before it.

    Raises:
        InputError: a column is missing, or a row has a missing or invalid text, label, group or split.
    """
    known = Labels()
    labels, texts, groups, splits = [np.zeros(0, np.int16)], [np.zeros(0, np.uint64)], [], []
    label_rows: list[str] = []
    for file, first, batch in batches:
        texts.append(hash_texts(texts_of(batch, settings.text_column, file, first).to_pylist(), settings.split_seed))
        places = known.places_of(required_strings(batch, settings.label_column, file, first))
        for label in range(len(label_rows), len(known.names)):
            label_rows.append(f"{file.name} row {first + int((places == label).argmax()) + 1:,}")
        if len(known.names) > MAX_LABELS:
            raise InputError(
                f"{path}: {label_rows[MAX_LABELS]} has the label {known.names[MAX_LABELS]!r}, but there may be at most "
                f"{MAX_LABELS:,} labels; is {settings.label_column!r} the label column (--data.label-column)?"
            )
        labels.append(places.astype(np.int16))
        if settings.group_column:
            names = [name.strip() for name in required_strings(batch, settings.group_column, file, first)]
            groups.append(hash_texts(names, settings.split_seed))
        if settings.split_column:
            splits.append(read_splits(required_strings(batch, settings.split_column, file, first), file, first))
    split = np.concatenate(splits) if splits else None
    if split is not None and not {TRAIN, TEST} <= set(np.unique(split).tolist()):
        raise InputError(f"{path}: the column {settings.split_column!r} names no train or no test rows")
    group = np.concatenate(groups) if groups else None
    return Columns(
        known.names, label_rows, known.spellings, np.concatenate(labels), np.concatenate(texts), group, split
    )


def read_splits(names: list[str], file: Path, first: int) -> np.ndarray:
    """Return the split of each row: (n,) int8 places in SPLITS."""
    places = [SPLIT_NAMES.get(name.strip().lower()) for name in names]
    if None in places:
        row = places.index(None)
        raise InputError(
            f"{file}: row {first + row + 1} has the split {names[row]!r}; expected train, validation or test"
        )
    return np.array(places, np.int8)


def check_classes(
    labels: np.ndarray, first_rows: dict[str, str], split: np.ndarray, settings: SourceSettings, path: Path
) -> tuple[dict[str, Any], list[str]]:
    """Return the rows of each split, and of each label in it; and a warning for each rare label.

    Args:
        labels: (n,) integers from 0.
        first_rows: the name of each label, from label 0 on, with the row in which it appears first.
        split: (n,) int8 places in SPLITS; other rows do not count.
        settings: the share below which a label is rare.
        path: for messages.

    Raises:
        InputError: a split has no row of a label, or training has only one.
    """
    splits, warnings, names = {}, [], list(first_rows)
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
            warnings.append(f"{path}: only {count:,} of the {rows:,} {name} rows have {label}")
        splits[name] = {"rows": rows, "labels": dict(zip(names, counts.tolist(), strict=True))}
    return {"splits": splits}, warnings


def without_leaks(texts: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return the splits with `REMOVED` for training rows whose text is in validation or test, validation's in test.

    Args:
        texts: (n,) uint64 hashes.
        split: (n,) int8 places in SPLITS.
    """
    in_test, held_out = np.isin(texts, texts[split == TEST]), np.isin(texts, texts[split != TRAIN])
    leaks = ((split == TRAIN) & held_out) | ((split == VALIDATION) & in_test)
    return np.where(leaks, REMOVED, split).astype(np.int8)


def check_leaks(
    texts: np.ndarray, split: np.ndarray, settings: SourceSettings, path: Path, written: Path
) -> dict[str, Any]:
    """Count validation and test rows with a training text (`leaks`), and repeated texts in a split (`duplicates`).

    Args:
        texts: (n,) uint64 hashes.
        split: (n,) int8 places in SPLITS; other rows do not count.
        settings: the limit, if leaks are refused.
        path: for messages.
        written: texts.parquet, with file and row of each text.

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
