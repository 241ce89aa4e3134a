"""Your own files: CSV, Parquet or JSON, checked, split three ways and written as texts.parquet."""

from collections.abc import Callable, Iterator, Mapping
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
from tasks.texts.dataset import TEXTS, label_dtype
from tasks.texts.padded import SPLITS
from tasks.texts.sources.labels import describe_spellings, name_labels
from tasks.texts.sources.own_columns import Columns, check_classes, check_leaks, read_columns, without_leaks
from tasks.texts.sources.splitting import REMOVED, assign_splits, check_shares
from tasks.texts.tables.columns import ReadOptions, texts_of
from tasks.texts.tables.folders import LABELLED, table_files
from tasks.texts.tables.reading import read_batches


def hash_files(path: Path) -> str:
    """Return a hash of a file's content, or of the content and names of a folder's files."""
    return digest({file.name: hash_file(file) for file in table_files(path, LABELLED)})


def fetch_own(settings: SourceSettings, folder: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """Write texts.parquet (split, label, text, file, row; group if there is such a column) into `folder`.

    The files are read twice: first labels, groups and splits, then the texts. Only a few numbers per row stay in
    memory.

    Args:
        settings: the files, their columns and the limits.
        folder: where to write.
        warn: called if several spellings are read as one label.

    Raises:
        InputError: the files cannot be trained on, or change while they are read.
    """
    path = user_path(settings.dataset)
    sha256 = hash_files(path)
    if settings.sha256 and settings.sha256.lower() != sha256:
        raise InputError(f"{path}: its content has changed since the run began; run again")
    columns = read_columns(path, settings, rows_of(path, settings))
    names = name_labels(columns.label_names, settings.positive_label, path)
    if columns.spellings:
        warn(describe_spellings(columns.spellings, path))
    label_of_place = np.array([names.index(name) for name in columns.label_names], label_dtype(len(names)))
    labels = label_of_place[columns.labels]
    split = split_rows(columns, settings, path)
    if settings.leaks == "remove":
        split = without_leaks(columns.texts, split)
    if removed := int((split == REMOVED).sum()):
        warn(f"{path}: left out {removed:,} rows whose text is also in validation or test (see --data.leaks)")
    first_rows = dict(zip(columns.label_names, columns.label_rows, strict=True))
    check, warnings = check_classes(labels, {name: first_rows[name] for name in names}, split, settings, path)
    for warning in warnings:
        warn(warning)
    write_texts(path, settings, labels, split, columns.groups, folder / TEXTS)
    if hash_files(path) != sha256:
        raise InputError(f"{path}: its content has changed while it was read; run again")
    check |= check_leaks(columns.texts, split, settings, path, folder / TEXTS)
    source = path.resolve().as_uri()
    return {"name": path.stem, "source": source, "sha256": sha256, "labels": names, "check": check}


def rows_of(
    path: Path, settings: SourceSettings, columns: Mapping[str, str] | None = None
) -> Iterator[tuple[Path, int, pa.RecordBatch]]:
    """Yield the batches of every file, each with its file and the number of rows before it.

    Args:
        path: a file or folder.
        settings: the columns, and how to read them.
        columns: other columns to read instead, each with the flag that names it.
    """
    usual = {
        settings.text_column: "--data.text-column",
        settings.label_column: "--data.label-column",
        settings.split_column: "--data.split-column",
        settings.group_column: "--data.group-column",
    }
    columns = columns or {column: flag for column, flag in usual.items() if column}
    options = ReadOptions(settings.text_column, columns, settings.encoding, settings.delimiter, "--data.")
    for file in table_files(path, LABELLED):
        first = 0
        for batch in read_batches(file, options):
            yield file, first, batch
            first += len(batch)


def split_rows(columns: Columns, settings: SourceSettings, path: Path) -> np.ndarray:
    """Return the split of each row, from its column or by hash: (n,) int8 places in SPLITS."""
    if columns.splits is not None:
        return columns.splits
    shares = settings.held_out, settings.held_out * (1 - settings.held_out)
    split = assign_splits(columns.texts if columns.groups is None else columns.groups, *shares)
    grouped = f", grouped by {settings.group_column!r}" if columns.groups is not None else ""
    check_shares(split, *shares, f"{path}{grouped}")
    return split


def write_texts(
    path: Path,
    settings: SourceSettings,
    labels: np.ndarray,
    split: np.ndarray,
    groups: np.ndarray | None,
    target: Path,
) -> None:
    """Write texts with split, label, origin and group, or fail if there are not as many rows as labels."""
    names, place = pa.array([*SPLITS, "removed"]), 0
    fields = [("split", pa.string()), ("label", pa.from_numpy_dtype(labels.dtype)), ("text", pa.string()),
              ("file", pa.string()), ("row", pa.int64())]  # fmt: skip
    schema = pa.schema(fields if groups is None else [*fields, ("group", pa.uint64())])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file, first, batch in rows_of(path, settings):
            rows = slice(place, place + len(batch))
            place = rows.stop
            if place > len(split):
                break
            columns = {
                "split": names.take(pa.array(split[rows])),
                "label": labels[rows],
                "text": texts_of(batch, settings.text_column, file, first),
                "file": [file.name] * len(batch),
                "row": np.arange(first + 1, first + len(batch) + 1),
            }
            if groups is not None:
                columns["group"] = groups[rows]
            writer.write_table(pa.table(columns, schema=schema))
    if place != len(split):
        raise InputError(f"{path}: its content has changed while it was read; run again")
