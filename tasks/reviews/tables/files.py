"""Which files are tables, what form and which compression each has, and where they lie."""

from pathlib import Path

from tasks.core.errors import InputError

FORMS = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".txt")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Parquet is compressed within, and can be read from its end only.
SUFFIXES = FORMS + tuple(form + packed for form in FORMS if form != ".parquet" for packed in COMPRESSIONS)


def form_of(path: Path) -> tuple[str, str | None]:
    """Return what a file's name says of it: its form (".csv"), and its compression (of "a.csv.gz": "gzip")."""
    *_, before, last = ["", *(suffix.lower() for suffix in path.suffixes)] if path.suffixes else ("", "")
    return (before, COMPRESSIONS[last]) if last in COMPRESSIONS else (last, None)


def is_table(path: Path) -> bool:
    """Return whether a file's name says that it can be read as a table."""
    return path.name.lower().endswith(SUFFIXES)


def table_files(path: Path) -> list[Path]:
    """Return the file, or the files of a folder, that can be read as a table, in order of name.

    Raises:
        InputError: there is none.
    """
    if path.is_dir():
        files = files_within(path)
        if not files:
            raise InputError(f"{path}: holds no file that ends in {', '.join(FORMS)}")
        return files
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    if not is_table(path):
        raise InputError(f"{path}: expected a file that ends in {', '.join(FORMS)}")
    return [path]


def files_within(folder: Path) -> list[Path]:
    """Return the files of a folder that can be read as a table, in order of name."""
    return sorted(file for file in folder.iterdir() if is_table(file) and not file.name.startswith("."))
