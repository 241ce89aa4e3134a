"""Rows of your own files: which are trained on, and checks of their labels, splits and leaks."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS
from tasks.texts.sources.corrections import Corrections
from tasks.texts.sources.labels import Labels, Warn
from tasks.texts.sources.splitting import LEFT_OUT, REMOVED, SPLIT_NAMES, TEST, TRAIN, VALIDATION, hash_texts
from tasks.texts.tables.read_options import required_strings, strings_of, texts_of
from tasks.texts.tables.text_folder import FILE_NAME

ROWS_NAMED = 5
MIN_TRAINING_ROWS = 2  # of each label
# The rows that are trained on: label is a number by first appearance, before the label before its correction, split a
# place in SPLITS, others are hashes.
STAGED = pa.schema({"text": pa.string(), "file": pa.string(), "row": pa.int64(), "label": pa.int16(),
                    "hash": pa.uint64(), "split": pa.int8(), "group": pa.uint64(), "before": pa.string()})  # fmt: skip


def labelled_rows(
    batch: pa.RecordBatch,
    file: Path,
    name: str,
    first: int,
    labels: Labels,
    corrections: Corrections,
    settings: SourceSettings,
    split: int,
) -> pa.Table:
    """Return the labelled rows of a batch as `STAGED`; without their columns, splits are `split` and groups null.

    The batch has `first` rows of its file before it; `name` is the file's name in the table. Raise InputError if a row
    has an invalid text, group or split, or labels look alike.
    """
    rows = first + 1 + np.arange(len(batch))
    splits = np.full(len(batch), split, np.int8)
    if settings.split_column:
        splits = read_splits(required_strings(batch, settings.split_column, file, rows), file, rows)
    places = np.flatnonzero(splits != LEFT_OUT)
    labels.left_out["of an unsupervised split"] += len(batch) - len(places)
    batch, rows, splits = batch.take(pa.array(places)), rows[places], splits[places]
    files, numbers_in_file = pa.array([name] * len(rows), pa.string()), rows
    if file.is_dir():  # each of its files is a row
        files, numbers_in_file = pc.binary_join_element_wise(name, batch[FILE_NAME], "/"), np.ones_like(rows)
    spellings = strings_of(batch, settings.label_column, file, "--data.label-column")
    spellings, before = corrections.apply(spellings, batch[settings.text_column], files, numbers_in_file)
    numbers = labels.numbers_of(spellings, file, rows)
    is_kept = numbers != LEFT_OUT
    kept, rows = batch.filter(pa.array(is_kept)), rows[is_kept]
    texts = texts_of(kept, settings.text_column, file, rows)
    hashes, groups = hash_texts(texts.to_pylist(), settings.split_seed), pa.nulls(len(rows))
    if settings.group_column:
        groups = hash_texts(required_strings(kept, settings.group_column, file, rows), settings.split_seed)
    origins = pa.table({"file": files, "row": numbers_in_file, "before": before}).filter(pa.array(is_kept))
    columns = {"text": texts, "label": numbers[is_kept], "hash": hashes, "split": splits[is_kept], "group": groups}
    return pa.table(columns | {name: origins[name] for name in origins.column_names}).select(STAGED.names).cast(STAGED)


def read_splits(names: list[str], file: Path, rows: np.ndarray) -> np.ndarray:
    """Return the split of each row: (n,) int8 places in SPLITS, or LEFT_OUT."""
    places = [SPLIT_NAMES.get(name.strip().lower()) for name in names]
    if None in places:
        at = places.index(None)
        raise InputError(f"{file}: row {rows[at]} has the split {names[at]!r}; expected train, validation or test")
    return np.array(places, np.int8)


def check_classes(
    labels: np.ndarray, first_rows: dict[str, str], split: np.ndarray, settings: SourceSettings, path: Path, warn: Warn
) -> dict[str, Any]:
    """Return the rows of each split, and of each label in it, and warn of rare labels.

    `labels` are (n,) places in `first_rows`, which has file and row of each label, and `split` (n,) places in SPLITS.
    Raise InputError if a split has no row of a label, or training has only one.
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


def check_leaks(rows: pa.Table, split: np.ndarray, settings: SourceSettings, path: Path) -> dict[str, Any]:
    """Count validation and test rows with a training text (`leaks`), and repeated texts in a split (`duplicates`).

    `rows` are n rows of `STAGED`, `split` (n,) places in SPLITS. Raise InputError if there are more leaks than the
    limit.
    """
    texts, is_held_out = rows["hash"].to_numpy(), (split == VALIDATION) | (split == TEST)
    leaks = np.flatnonzero(is_held_out & np.isin(texts, texts[split == TRAIN]))
    held_out = int(is_held_out.sum())
    if settings.leaks == "refuse" and len(leaks) > settings.max_leaks * max(held_out, 1):
        origins = rows.take(pa.array(leaks[:ROWS_NAMED])).to_pylist()
        named = ", ".join(f"{origin['file']} row {origin['row']}" for origin in origins)
        raise InputError(
            f"{path}: {len(leaks):,} of {held_out:,} validation and test rows have the text of a training row "
            f"({named}{', …' if len(leaks) > ROWS_NAMED else ''}); leave --data.leaks out to train without them, or "
            f"raise --data.max-leaks ({settings.max_leaks})"
        )
    distinct = sum(len(np.unique(texts[split == place])) for place in range(len(SPLITS)))
    return {
        "leaks": len(leaks),
        "removed": int((split == REMOVED).sum()),
        "duplicates": int((split != REMOVED).sum()) - distinct,
    }
