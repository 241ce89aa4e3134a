"""Your own reviews: CSV, Parquet or JSON lines, checked, split three ways and kept as texts.parquet."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.core.files import hash_file
from tasks.core.paths import user_path
from tasks.store.artifact import digest
from tasks.texts.dataset import MAX_LABELS, TEXTS, label_dtype
from tasks.texts.padded import SPLITS
from tasks.texts.sources.labels import Labels, describe_spellings, name_labels
from tasks.texts.sources.splitting import TEST, TRAIN, VALIDATION, assign_splits, check_shares, hash_texts
from tasks.texts.tables.columns import ReadOptions, required_strings, texts_of
from tasks.texts.tables.folders import LABELLED, table_files
from tasks.texts.tables.reading import read_batches

SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
               "dev": VALIDATION, "test": TEST}  # fmt: skip
UNKNOWN_SPLIT = -1
SCHEMA = pa.schema(
    [("split", pa.string()), ("label", pa.int8()), ("text", pa.string()), ("file", pa.string()), ("row", pa.int64())]
)
ROWS_NAMED = 5


def hash_files(path: Path) -> str:
    """Return a hash of a file's content, or of those of a folder's files with their names.

    Raises:
        InputError: there is nothing to read.
    """
    return digest({file.name: hash_file(file) for file in table_files(path, LABELLED)})


def fetch_own(settings: SourceSettings, folder: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """Write texts.parquet (split, label, text, file, row; group where there is such a column) into `folder`.

    The files are read twice, a part in memory at a time: first labels, groups and splits, then the texts. What stays in
    memory is a few numbers a row.

    Args:
        settings: name the files, their columns and the limits.
        folder: to write to.
        warn: told which spellings are read as one label.

    Returns:
        Where they came from, and what they hold.

    Raises:
        InputError: naming file and row of what cannot be trained on.
    """
    path = user_path(settings.dataset)
    sha256 = hash_files(path)
    if settings.sha256 and settings.sha256.lower() != sha256:
        raise InputError(f"{path}: its content has changed since the run began; run again")
    columns = read_columns(path, settings)
    names = name_labels(columns.label_names, settings.positive_label, path)
    if columns.folded:
        warn(describe_spellings(columns.folded, path))
    place = np.array([names.index(name) for name in columns.label_names], label_dtype(len(names)))
    labels = place[columns.labels]
    split = split_rows(columns, settings, path)
    first_rows = dict(zip(columns.label_names, columns.label_rows, strict=True))
    check = check_classes(labels, {name: first_rows[name] for name in names}, split, settings, path)
    write_texts(path, settings, labels, split, columns.groups, folder / TEXTS)
    if hash_files(path) != sha256:
        raise InputError(f"{path}: its content has changed while it was read; run again")
    check |= check_leaks(columns.texts, split, settings, path, folder / TEXTS)
    return {
        "name": path.stem,
        "source": path.resolve().as_uri(),
        "sha256": sha256,
        "labels": names,
        "check": check,
    }


@dataclass(frozen=True)
class Columns:
    """What the rows have beside their texts.

    Attributes:
        label_names: in order of appearance.
        label_rows: where each stands first, as file and row.
        folded: other spellings of them.
        labels: (n,) int16 places among them.
        texts: (n,) uint64 hashes.
        groups: (n,) uint64 hashes of the groups' names; None without a column.
        splits: (n,) int8 places in SPLITS; None without a column.
    """

    label_names: list[str]
    label_rows: list[str]
    folded: dict[str, str]
    labels: np.ndarray
    texts: np.ndarray
    groups: np.ndarray | None
    splits: np.ndarray | None


def read_columns(path: Path, settings: SourceSettings) -> Columns:
    """Return labels, hashes of texts and groups, and splits of every row.

    Raises:
        InputError: a column is missing, a row has no text, label, group or split, or has one that cannot be.
    """
    known = Labels()
    labels, texts, groups, splits = [], [], [], []
    label_rows: list[str] = []
    for file, first, batch in rows_of(path, settings):
        texts.append(hash_texts(texts_of(batch, settings.text_column, file, first).to_pylist(), settings.split_seed))
        labels.append(known.places_of(required_strings(batch, settings.label_column, file, first)))
        for label in range(len(label_rows), len(known.names)):
            label_rows.append(f"{file.name} row {first + int((labels[-1] == label).argmax()) + 1:,}")
        if len(known.names) > MAX_LABELS:
            raise InputError(
                f"{path}: {label_rows[MAX_LABELS]} has the label {known.names[MAX_LABELS]!r}, one more than the "
                f"{MAX_LABELS:,} that there may be; is {settings.label_column!r} the column of the label "
                "(--data.label-column)?"
            )
        labels[-1] = labels[-1].astype(np.int16)
        if settings.group_column:
            names = [name.strip() for name in required_strings(batch, settings.group_column, file, first)]
            groups.append(hash_texts(names, settings.split_seed))
        if settings.split_column:
            names = required_strings(batch, settings.split_column, file, first)
            splits.append(named_splits(names, file, first))
    column = np.concatenate(splits) if splits else None
    if column is not None and not {TRAIN, TEST} <= set(np.unique(column).tolist()):
        raise InputError(f"{path}: the column {settings.split_column!r} names no train or no test reviews")
    return Columns(
        label_names=known.names,
        label_rows=label_rows,
        folded=known.folded,
        labels=np.concatenate([np.zeros(0, np.int16), *labels]),
        texts=np.concatenate([np.zeros(0, np.uint64), *texts]),
        groups=np.concatenate(groups) if groups else None,
        splits=column,
    )


def named_splits(names: list[str], file: Path, first: int) -> np.ndarray:
    """Return the place in SPLITS of each name: (n,) int8, or refuse a name that is not known."""
    places = np.array([SPLIT_NAMES.get(name.strip().lower(), UNKNOWN_SPLIT) for name in names], np.int8)
    if (places == UNKNOWN_SPLIT).any():
        row = int((places == UNKNOWN_SPLIT).argmax())
        raise InputError(
            f"{file}: row {first + row + 1} has the split {names[row]!r}; expected train, validation or test"
        )
    return places


def rows_of(
    path: Path, settings: SourceSettings, columns: Mapping[str, str] | None = None
) -> Iterator[tuple[Path, int, pa.RecordBatch]]:
    """Yield the batches of every file, each with its file and the row of the file that it begins with.

    Args:
        path: of the file, or of the folder.
        settings: name the columns, and how to read them.
        columns: other columns to read instead, each with the flag that names it.
    """
    options = ReadOptions(
        settings.text_column, columns or columns_of(settings), settings.encoding, settings.delimiter, "--data."
    )
    for file in table_files(path, LABELLED):
        first = 0
        for batch in read_batches(file, options):
            yield file, first, batch
            first += len(batch)


def columns_of(settings: SourceSettings) -> dict[str, str]:
    """Return the columns that are read, each with the flag that names it."""
    named = {
        settings.text_column: "--data.text-column",
        settings.label_column: "--data.label-column",
        settings.split_column: "--data.split-column",
        settings.group_column: "--data.group-column",
    }
    return {column: flag for column, flag in named.items() if column}


def split_rows(columns: Columns, settings: SourceSettings, path: Path) -> np.ndarray:
    """Return the split of each row, as its column says or as it is dealt out: (n,) int8 places in SPLITS.

    Raises:
        InputError: they cannot be dealt out in about the shares that `held_out` asks for.
    """
    if columns.splits is not None:
        return columns.splits
    shares = settings.held_out, settings.held_out * (1 - settings.held_out)
    split = assign_splits(columns.texts if columns.groups is None else columns.groups, *shares)
    grouped = f", grouped by {settings.group_column!r}" if columns.groups is not None else ""
    check_shares(split, *shares, f"{path}{grouped}")
    return split


def check_classes(
    labels: np.ndarray, first_rows: dict[str, str], split: np.ndarray, settings: SourceSettings, path: Path
) -> dict[str, Any]:
    """Return the rows of each split, and of each label in it.

    Args:
        labels: (n,) integers from 0.
        first_rows: where each label stands first, by its name, from label 0 on.
        split: (n,) int8 places in SPLITS.
        settings: the limit.
        path: where the rows come from.

    Raises:
        InputError: a split lacks a label, or has one that is rarer than the limit.
    """
    found, names = {}, list(first_rows)
    least = settings.min_class_share * 2 / len(names)
    for place, name in enumerate(SPLITS):
        counts = np.bincount(labels[split == place], minlength=len(names))
        rows, rarest = int(counts.sum()), int(counts.argmin())
        if not rows:
            continue
        label = f"the label {names[rarest]!r} (first in {first_rows[names[rarest]]})"
        if not counts[rarest]:
            raise InputError(
                f"{path}: none of the {rows:,} {name} rows has {label}; give more rows, deal them out otherwise "
                "(--data.group-column, --data.split-seed), or name their splits (--data.split-column)"
            )
        if counts[rarest] < least * rows:
            raise InputError(
                f"{path}: {counts[rarest]:,} of the {rows:,} {name} rows have {label}, expected at least {least:.2%}: "
                f"give more such rows, or change --data.min-class-share ({settings.min_class_share:g}, which is of two "
                "labels)"
            )
        found[name] = {"rows": rows, "labels": dict(zip(names, counts.tolist(), strict=True))}
    return {"splits": found}


def write_texts(
    path: Path,
    settings: SourceSettings,
    labels: np.ndarray,
    split: np.ndarray,
    groups: np.ndarray | None,
    target: Path,
) -> None:
    """Write the reviews with their labels, splits, places and groups, where they have any.

    Raises:
        InputError: there are not as many rows as there were labels.
    """
    names = pa.array(SPLITS)
    schema = SCHEMA.set(1, pa.field("label", pa.from_numpy_dtype(labels.dtype)))
    if groups is not None:
        schema = schema.append(pa.field("group", pa.uint64()))
    place = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file, first, batch in rows_of(path, settings):
            rows = slice(place, place + len(batch))
            place = rows.stop
            if place > len(split):
                break
            columns = [
                names.take(pa.array(split[rows])),
                pa.array(labels[rows]),
                texts_of(batch, settings.text_column, file, first),
                pa.array([file.name] * len(batch)),
                pa.array(np.arange(first + 1, first + len(batch) + 1), pa.int64()),
            ]
            if groups is not None:
                columns.append(pa.array(groups[rows]))
            writer.write_table(pa.table(columns, schema=schema))
    if place != len(split):
        raise InputError(f"{path}: its content has changed while it was read; run again")


def check_leaks(
    texts: np.ndarray, split: np.ndarray, settings: SourceSettings, path: Path, written: Path
) -> dict[str, Any]:
    """Count the texts that stand in training and beside it too.

    Args:
        texts: (n,) uint64 hashes.
        split: (n,) int8 places in SPLITS.
        settings: the limit.
        path: where the rows come from.
        written: texts.parquet, which knows file and row of each.

    Returns:
        {"leaks": rows of validation and test whose text is also a training row's, "duplicates": rows whose text an
        earlier row of the same split has}.

    Raises:
        InputError: there are more leaks than the limit, naming the first of them.
    """
    is_train = split == TRAIN
    leaks = np.flatnonzero(~is_train & np.isin(texts, texts[is_train]))
    held_out = int((~is_train).sum())
    if len(leaks) > settings.max_leaks * max(held_out, 1):
        first_ones = pq.read_table(written, columns=["file", "row"]).take(pa.array(leaks[:ROWS_NAMED])).to_pylist()
        named = [f"{place['file']} row {place['row']}" for place in first_ones]
        raise InputError(
            f"{path}: {len(leaks):,} of {held_out:,} validation and test rows have a text that a training row has "
            f"too ({', '.join(named)}{', …' if len(leaks) > ROWS_NAMED else ''}); remove them, let rows be "
            f"dealt out by their texts (no --data.split-column or --data.group-column), or raise --data.max-leaks (it "
            f"is {settings.max_leaks})"
        )
    different = sum(len(np.unique(texts[split == place])) for place in range(len(SPLITS)))
    return {"leaks": len(leaks), "duplicates": len(split) - different}
