"""Your own files: which of a folder are read; their texts are checked, split and written as texts.parquet."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from tasks.texts.sources import splitting
from tasks.texts.sources.labels import Warn, name_labels
from tasks.texts.sources.own_columns import Batches, ColumnReader, Columns, check_classes, check_leaks, without_leaks
from tasks.texts.sources.splitting import LEFT_OUT, REMOVED, SPLIT_NAMES, TEST, TRAIN, VALIDATION
from tasks.texts.tables.columns import EmptyTable, MissingColumn, ReadOptions, texts_of
from tasks.texts.tables.delimited import describe_headers
from tasks.texts.tables.folders import LABELLED, describe_skipped, table_files, visible
from tasks.texts.tables.reading import read_batches


@dataclass(frozen=True)
class Choice:
    """The files to read.

    Attributes:
        files: by name.
        splits: the split of each file, if their names say it: places in SPLITS.
        notes: lines about what is left out, and why.
    """

    files: list[Path]
    splits: dict[Path, int] | None = None
    notes: list[str] = field(default_factory=list)


def labelled_files(path: Path) -> list[Path]:
    """Return the file, or the folder's tables, with those in subfolders that are partitions.

    Raises:
        InputError: there is none, or one is not readable.
    """
    return table_files(path, LABELLED, partitions(path))


def describe_unread(path: Path) -> str | None:
    """Return a sentence about files in a folder and its partitions that are not read, or None."""
    return describe_skipped(path, LABELLED, partitions(path))


def partitions(path: Path) -> list[Path]:
    """Return subfolders at any depth that are named like a split, or like Hive's `key=value`."""
    folders = [
        folder
        for folder in (visible(path) if path.is_dir() else ())
        if folder.is_dir() and not folder.is_symlink() and ("=" in folder.name or named_split(folder.name) is not None)
    ]
    return [*folders, *(nested for folder in folders for nested in partitions(folder))]


def named_split(name: str) -> int | None:
    """Return the split that a name says, as train-00000-of-00001.parquet or split=test, if it is exactly one."""
    words = re.split("[^a-z]+", name.partition(".")[0].lower())
    places = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return places.pop() if len(places) == 1 else None


def choose_files(path: Path, settings: SourceSettings) -> Choice:
    """Return the files to read; names decide on the split if one is for training and another one is not.

    Raises:
        InputError: there is no file with rows, or only some names say a split.
    """
    files = labelled_files(path)
    if not path.is_dir():
        return Choice(files)
    splits = splits_by_name(files, path, settings)
    full, empty, notes = list[Path](), list[Path](), list[str]()
    for file in files:
        try:
            has_rows = file.stat().st_size > 0 and next(read_batches(file, read_options(settings)), None) is not None
            (full if has_rows else empty).append(file)
        except EmptyTable:
            empty.append(file)
        except MissingColumn as error:
            if splits is None or splits[file] == TRAIN:
                raise
            notes.append(f"left out: {error}")
    if empty and full:
        notes.append(f"{path}: {name_files(path, empty)} left out: no rows")
    return choose_splits(path, full or files, splits, notes)


def choose_splits(path: Path, files: list[Path], splits: dict[Path, int | None] | None, notes: list[str]) -> Choice:
    """Return files with the splits that their names say, without unsupervised ones."""
    if splits is None:
        return Choice(files, None, notes)
    if unnamed := [file for file in files if splits[file] is None]:
        raise InputError(
            f"{path}: {name_files(path, unnamed)} is not named train, validation or test, but others are; rename "
            "or remove it, or give --data.split-column"
        )
    named = {file: place for file in files if (place := splits[file]) is not None and place != LEFT_OUT}
    if left_out := [file for file in files if file not in named]:
        notes.append(f"{path}: {name_files(path, left_out)} left out: unlabelled by its name")
    places = set(named.values())
    if places == {TRAIN}:
        return Choice(list(named), None, [*notes, f"{path}: {name_files(path, list(named))} is split as usual"])
    if TEST not in places:
        named = {file: TEST if place == VALIDATION else place for file, place in named.items()}
        notes.append(f"{path}: has no test file, so the validation file is for testing")
    said = [f"{SPLITS[at]} {name_files(path, [file for file in named if named[file] == at])}"
            for at in sorted(set(named.values()))]  # fmt: skip
    return Choice(list(named), named, [*notes, f"{path}: the names say the split: {'; '.join(said)}"])


def splits_by_name(files: list[Path], path: Path, settings: SourceSettings) -> dict[Path, int | None] | None:
    """Return the split that each file's name or folder says; None if they say none, or a setting decides."""
    if settings.split_column or settings.group_column:
        return None
    splits: dict[Path, int | None] = {}
    for file in files:
        said = [named_split(part) for part in reversed(file.relative_to(path).parts)]
        splits[file] = next((place for place in said if place is not None), None)
    places = set(splits.values()) - {None}
    return splits if TRAIN in places and len(places) > 1 else None


def name_files(path: Path, files: list[Path]) -> str:
    """Return the names of at most three files, for a message."""
    more = f" and {len(files) - 3:,} more" if len(files) > 3 else ""
    return f"{', '.join(name_in(path, file) for file in files[:3])}{more}"


def name_in(path: Path, file: Path) -> str:
    """Return the name of a file, with its subfolders if `path` is a folder."""
    return file.relative_to(path).as_posix() if file != path else file.name


def read_options(settings: SourceSettings, columns: dict[str, str] | None = None) -> ReadOptions:
    """Return how to read the files: the usual columns, or others, each with the flag that names it."""
    usual = {
        settings.text_column: "--data.text-column",
        settings.label_column: "--data.label-column",
        settings.split_column: "--data.split-column",
        settings.group_column: "--data.group-column",
    }
    columns = columns or {column: flag for column, flag in usual.items() if column}
    return ReadOptions(
        settings.text_column, columns, settings.encoding, settings.delimiter, "--data.", settings.quoting
    )


def hash_files(path: Path) -> str:
    """Return a hash of a file's content, or of the content and names of a folder's files."""
    return digest({name_in(path, file): hash_file(file) for file in labelled_files(path)})


def fetch_own(settings: SourceSettings, folder: Path, warn: Warn) -> dict[str, Any]:
    """Write texts.parquet (split, label, text, file, row; group if there is such a column) into `folder`.

    The files are read twice: first labels, groups and splits, then the texts. Only a few numbers per row stay in
    memory.
    `warn` is called with each line about what is left out or read in a special way.

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
    split = splitting.assign_splits(columns.texts if columns.groups is None else columns.groups, test, validation)
    if (split == VALIDATION).sum() < MIN_VALIDATION_ROWS:
        split[split == VALIDATION], validation = TRAIN, 0.0  # pad takes as many as it needs from the training rows
    grouped = f", grouped by {settings.group_column!r}" if columns.groups is not None else ""
    splitting.check_shares(split, test, validation, f"{path}{grouped}")
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
