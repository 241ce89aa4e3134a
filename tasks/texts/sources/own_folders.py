"""Folders of your own files: which files are read, and the split that their names say."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS
from tasks.texts.sources.splitting import LEFT_OUT, SPLIT_NAMES, TEST, TRAIN, VALIDATION
from tasks.texts.tables.columns import EmptyTable, MissingColumn, ReadOptions
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
