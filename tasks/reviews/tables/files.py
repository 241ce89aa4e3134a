"""Which files are tables, and what form and which compression each has."""

from pathlib import Path

FORMS = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".txt")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def form_of(path: Path) -> tuple[str, str | None]:
    """Return what a file's name says of it: its form (".csv"), and its compression (of "a.csv.gz": "gzip")."""
    *_, before, last = ["", *(suffix.lower() for suffix in path.suffixes)] if path.suffixes else ("", "")
    return (before, COMPRESSIONS[last]) if last in COMPRESSIONS else (last, None)


def is_table(path: Path, forms: tuple[str, ...] = FORMS) -> bool:
    """Return whether a file's name says that it can be read as a table of one of the forms."""
    form, compression = form_of(path)
    # Parquet is compressed within, and can be read from its end only.
    return form in forms and (form != ".parquet" or compression is None)
