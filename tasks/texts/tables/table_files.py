"""Folders: which files are read as tables, by their names."""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tasks.core.errors import InputError
from tasks.core.user_paths import printable

LABELLED = (".csv", ".tsv", ".parquet", ".jsonl", ".json")  # can hold a label with a text
FORMS = (*LABELLED, ".txt")
ALIASES = {".ndjson": ".jsonl", ".jsonlines": ".jsonl", ".pq": ".parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def form_of(path: Path) -> tuple[str, str | None]:
    """Return a file's format (".csv") and compression (for "a.csv.gz": "gzip") according to its name."""
    *_, before, last = ["", *(suffix.lower() for suffix in path.suffixes)] if path.suffixes else ("", "")
    form = before if last in COMPRESSIONS else last
    return ALIASES.get(form, form), COMPRESSIONS.get(last)


def name_of(path: Path) -> str:
    """Return a file's name without its format and compression: z of z.csv.zst."""
    return Path(path.stem).stem if form_of(path)[1] else path.stem


def is_table(path: Path, forms: tuple[str, ...] = FORMS) -> bool:
    """Return whether a file's name ends like a table of one of the forms."""
    form, compression = form_of(path)
    # Parquet is compressed inside, and is read from its end.
    return form in forms and (form != ".parquet" or compression is None)


NAMES_SHOWN = 5
# Descriptions in Hugging Face's repositories; its own library ignores the same names.
METADATA = ("config.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json")


def table_files(path: Path, forms: tuple[str, ...] = FORMS, subfolders: Iterable[Path] = ()) -> list[Path]:
    """Return the file, or the files in a folder and some of its subfolders, that can be read as a table, by name.

    Raises:
        InputError: there is none, or one is not readable.
    """
    endings, files = ", ".join(forms), [path]
    if path.is_dir():
        files = sorted(file for folder in (path, *subfolders) for file in files_within(folder, forms))
        if not files:
            raise InputError(describe_skipped(path, forms) or f"{path}: is empty; expected files in {endings}")
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder")
    elif not is_table(path, forms) or not path.is_file():
        raise InputError(f"{path}: expected a file that ends in {endings}; unpack or convert it first")
    for file in files:
        check_readable(file)
    return files


def check_readable(path: Path) -> None:
    """Refuse a file or folder without read permission, or whose name is not valid in this system's encoding."""
    if printable(str(path)) != str(path):
        raise InputError(f"{printable(str(path))}: has a name that is not UTF-8; rename it")
    if not os.access(path, os.R_OK | (os.X_OK * path.is_dir())):
        raise InputError(f"{path}: no permission to read it; change its mode")


def files_within(folder: Path, forms: tuple[str, ...] = FORMS) -> list[Path]:
    """Return a folder's tables, by name."""
    return [path for path in visible(folder) if path.name not in METADATA and is_table(path, forms) and path.is_file()]


def describe_skipped(
    path: Path, forms: tuple[str, ...] = FORMS, subfolders: Sequence[Path] = (), taken: Collection[Path] = ()
) -> str | None:
    """Return a sentence about what is in a folder and some of its subfolders and is not read, nor `taken`, or None."""
    lines, expected = [], f"files in {', '.join(forms)}" if forms else "a folder of .txt files per label"
    for folder in (path, *subfolders) if path.is_dir() else ():
        taken = {*files_within(folder, forms), *subfolders, *taken}
        names = [printable(other.name) + "/" * other.is_dir() for other in visible(folder) if other not in taken]
        if names:
            lines.append(f"{folder}: {name_few(names)} skipped; expected {expected}")
    return "; ".join(lines) or None


def visible(folder: Path) -> list[Path]:
    """Return a folder's content, without hidden files, by name."""
    check_readable(folder)
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def name_few(names: list[str]) -> str:
    """Return the first five names and the number of others, for a message."""
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
