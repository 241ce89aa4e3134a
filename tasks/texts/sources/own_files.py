"""Your own files: CSV, Parquet or JSON, checked, split three ways and written as texts.parquet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.core.files import digest, hash_file
from tasks.core.paths import user_path
from tasks.texts.dataset import TEXTS, label_dtype
from tasks.texts.padded import MIN_VALIDATION_ROWS, SPLITS
from tasks.texts.sources.labels import Warn, name_labels
from tasks.texts.sources.own_columns import Batches, ColumnReader, Columns, check_classes, check_leaks, without_leaks
from tasks.texts.sources.own_folders import choose_files, labelled_files, name_in, read_options
from tasks.texts.sources.splitting import REMOVED, TRAIN, VALIDATION, assign_splits, check_shares
from tasks.texts.tables.columns import ReadOptions, texts_of
from tasks.texts.tables.delimited import describe_headers
from tasks.texts.tables.reading import read_batches


def hash_files(path: Path) -> str:
    """Return a hash of a file's content, or of the content and names of a folder's files."""
    return digest({name_in(path, file): hash_file(file) for file in labelled_files(path)})


def fetch_own(settings: SourceSettings, folder: Path, warn: Warn) -> dict[str, Any]:
    """Write texts.parquet (split, label, text, file, row; group if there is such a column) into `folder`.

    The files are read twice: first labels, groups and splits, then the texts. Only a few numbers per row stay in
    memory.

    Args:
        settings: the files, their columns and the limits.
        folder: where to write.
        warn: called with each line about what is left out or read in a special way.

    Raises:
        InputError: the files cannot be trained on, or change while they are read.
    """
    path = user_path(settings.dataset)
    sha256 = hash_files(path)
    if settings.sha256 and settings.sha256.lower() != sha256:
        raise InputError(f"{path}: its content has changed since the run began; run again")
    chosen = choose_files(path, settings)
    options = read_options(settings)
    reader = ColumnReader(path, settings, chosen.splits)
    for file, first, batch in rows_of(chosen.files, options):
        reader.add(file, first, batch)
    columns = reader.finish()
    rows = np.bincount(columns.labels, minlength=len(columns.first_rows)).tolist()
    names = name_labels(dict(zip(columns.first_rows, rows, strict=True)), settings.positive_label, path, warn)
    for line in [*chosen.notes, *describe_headers(chosen.files, options), *columns.notes]:
        warn(line)
    label_of_place = np.array([names.index(name) for name in columns.first_rows], label_dtype(len(names)))
    labels = label_of_place[columns.labels]
    split = split_rows(columns, settings, path)
    if settings.leaks == "remove":
        split = without_leaks(columns.texts, split)
    if removed := int((split == REMOVED).sum()):
        warn(f"{path}: left out {removed:,} rows whose text is also in validation or test (see --data.leaks)")
    first_rows = {name: columns.first_rows[name] for name in names}
    check = check_classes(labels, first_rows, split, settings, path, warn)
    write_texts(path, rows_of(chosen.files, options), settings.text_column, labels, split, columns, folder / TEXTS)
    if hash_files(path) != sha256:
        raise InputError(f"{path}: its content has changed while it was read; run again")
    check |= check_leaks(columns.texts, split, settings, path, folder / TEXTS)
    source = path.resolve().as_uri()
    return {"name": path.stem, "source": source, "sha256": sha256, "labels": names, "check": check}


def rows_of(files: list[Path], options: ReadOptions) -> Iterator[tuple[Path, int, pa.RecordBatch]]:
    """Yield the batches of every file, each with its file and the number of rows before it."""
    for file in files:
        first = 0
        for batch in read_batches(file, options):
            yield file, first, batch
            first += len(batch)


def split_rows(columns: Columns, settings: SourceSettings, path: Path) -> np.ndarray:
    """Return the split of each row, from its column or by hash: (n,) int8 places in SPLITS."""
    if columns.splits is not None:
        return columns.splits
    test, validation = settings.held_out, settings.held_out * (1 - settings.held_out)
    split = assign_splits(columns.texts if columns.groups is None else columns.groups, test, validation)
    if (split == VALIDATION).sum() < MIN_VALIDATION_ROWS:
        split[split == VALIDATION], validation = TRAIN, 0.0  # pad takes as many as it needs from the training rows
    grouped = f", grouped by {settings.group_column!r}" if columns.groups is not None else ""
    check_shares(split, test, validation, f"{path}{grouped}")
    return split


def write_texts(
    path: Path, batches: Batches, text_column: str, labels: np.ndarray, split: np.ndarray, columns: Columns, texts: Path
) -> None:
    """Write texts with split, label, origin and group."""
    names, seen, place, groups = pa.array([*SPLITS, "removed"]), 0, 0, columns.groups
    fields = [("split", pa.string()), ("label", pa.from_numpy_dtype(labels.dtype)), ("text", pa.string()),
              ("file", pa.string()), ("row", pa.int64())]  # fmt: skip
    schema = pa.schema(fields if groups is None else [*fields, ("group", pa.uint64())])
    with pq.ParquetWriter(texts, schema, compression="zstd") as writer:
        for file, first, batch in batches:
            keep = columns.keep[seen : seen + len(batch)]
            seen += len(batch)
            if seen > len(columns.keep):
                break  # the file has grown, which its hash tells
            rows = slice(place, place := place + int(keep.sum()))
            written = {
                "split": names.take(pa.array(split[rows])),
                "label": labels[rows],
                "text": texts_of(batch, text_column, file, first, keep),
                "file": [name_in(path, file)] * int(keep.sum()),
                "row": first + 1 + np.flatnonzero(keep),
            }
            if groups is not None:
                written["group"] = groups[rows]
            writer.write_table(pa.table(written, schema=schema))
