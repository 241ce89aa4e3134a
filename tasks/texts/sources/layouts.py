"""Layouts: which files of a folder are read, and the splits that their names say."""

import os
import re
from pathlib import Path
from typing import NoReturn

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.core.files import digest, hash_file
from tasks.texts.sources.splits import LEFT_OUT, SPLIT_NAMES, TRAIN
from tasks.texts.tables.table_files import LABELLED, describe_skipped, files_within, name_few, table_files, visible
from tasks.texts.tables.text_folder import hash_text_folder, other_names, text_names


def labelled_files(path: Path) -> list[Path]:
    """Return the file, or the folder's tables with those in its partitions, or its label folders; refuse any other."""
    return label_folders(path) or table_files(path, LABELLED, partitions(path))


def describe_unread(path: Path) -> str | None:
    """Return a sentence about files in a folder, its partitions or label folders that are not read, or None."""
    labels = label_folders(path)
    if not labels:
        return describe_skipped(path, LABELLED, partitions(path))
    others = [f"{name_in(path, folder)}/{name}" for folder in labels for name in other_names(folder)]
    skipped = [f"{path}: {name_few(others)} skipped; expected .txt files"] if others else []
    splits = sorted({folder.parent for folder in labels} - {path})
    return "; ".join(filter(None, (describe_skipped(path, (), splits, labels), *skipped))) or None


def label_folders(path: Path) -> list[Path]:
    """Return the folders of text files named by their label, in a folder or those of its splits; [] for one label."""
    below = subfolders(path)
    splits = [folder for folder in below if named_split(folder.name) is not None and with_texts(subfolders(folder))]
    direct = with_texts([folder for folder in below if folder not in splits])
    nested = with_texts([folder for split in splits for folder in subfolders(split)])
    names = {folder.name for folder in direct + nested}
    if len(names) < 2 or all(named_split(name) is not None for name in names):
        return []
    if direct and nested:
        refuse_mixture(path, direct[0], nested[0])
    if tables := [file for folder in (path, *partitions(path)) for file in files_within(folder, LABELLED)]:
        refuse_mixture(path, tables[0], (direct or nested)[0])
    return direct or nested


def subfolders(path: Path) -> list[Path]:
    """Return the visible folders in a folder, by name; none in a file."""
    return [folder for folder in visible(path) if folder.is_dir()] if path.is_dir() else []


def with_texts(folders: list[Path]) -> list[Path]:
    """Return the readable folders with text files, except those named like an unlabelled split."""
    readable = [folder for folder in folders if os.access(folder, os.R_OK | os.X_OK)]
    return [folder for folder in readable if named_split(folder.name) != LEFT_OUT and next(text_names(folder), None)]


def refuse_mixture(path: Path, one: Path, other: Path) -> NoReturn:
    """Raise an InputError about two files, or the first text files of folders, that are in different layouts."""
    first, second = (file / min(text_names(file)) if file.is_dir() else file for file in (one, other))
    raise InputError(
        f"{path}: mixes layouts: {name_in(path, first)} and {name_in(path, second)}; expected either tables, or text "
        "files in one folder per label, all within folders of splits or none; remove one of both"
    )


def partitions(path: Path) -> list[Path]:
    """Return subfolders at any depth that are named like a split, or like Hive's `key=value`, or hold all tables."""
    folders = [folder for folder in subfolders(path) if not folder.is_symlink()]
    if len(folders) != 1 or files_within(path, LABELLED):  # else as in Hugging Face's repositories: data/, plain_text/
        folders = [folder for folder in folders if "=" in folder.name or named_split(folder.name) is not None]
    return [*folders, *(nested for folder in folders for nested in partitions(folder))]


def named_split(name: str) -> int | None:
    """Return the split that a name says, as train-00-of-01.parquet, en.test.csv or split=test, if it is exactly one."""
    words = re.split("[^a-z]+", name.lower())
    places = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return places.pop() if len(places) == 1 else None


def splits_by_name(files: list[Path], path: Path, settings: SourceSettings) -> dict[Path, int | None]:
    """Return the split that each file's name or folder says; {} if none says train, or a column says it."""
    if settings.split_column:
        return {}
    splits: dict[Path, int | None] = {}
    for file in files:
        parts = (file.parent if file.is_dir() else file).relative_to(path).parts  # a label is not a split
        said = [named_split(part) for part in reversed(parts)]
        splits[file] = next((place for place in said if place is not None), None)
    return splits if TRAIN in splits.values() else {}


def name_in(path: Path, file: Path) -> str:
    """Return the name of a file, with its subfolders if `path` is a folder."""
    return file.relative_to(path).as_posix() if file != path else file.name


def hash_files(path: Path) -> str:
    """Return a hash of a file's content, or of the content and names of a folder's files."""
    files = labelled_files(path)
    return digest({name_in(path, file): (hash_text_folder if file.is_dir() else hash_file)(file) for file in files})
