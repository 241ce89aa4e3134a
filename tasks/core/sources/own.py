"""Your own reviews: CSV, Parquet or JSON lines, checked, split three ways and kept as reviews.parquet."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import InputError
from tasks.core.padded import SPLITS
from tasks.core.settings import SourceSettings
from tasks.core.sources.rotten_tomatoes import REVIEWS
from tasks.core.sources.splitting import split_by_group
from tasks.core.store import digest, hash_file
from tasks.core.tables import read_batches, table_files, texts_of

SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
               "val": "validation", "dev": "validation", "test": "test"}  # fmt: skip
# What labels are called where nobody says which one is the positive one: negative, positive.
KNOWN_LABELS = (("0", "1"), ("negative", "positive"), ("neg", "pos"), ("false", "true"), ("no", "yes"))
ROWS_NAMED = 5


def hash_files(path: Path) -> str:
    """Return a hash of a file's content, or of those of a folder's files with their names.

    Raises:
        InputError: there is nothing to read.
    """
    return digest({file.name: hash_file(file) for file in table_files(path)})


def fetch_own(settings: SourceSettings, folder: Path) -> dict[str, Any]:
    """Write reviews.parquet (split, label, text) into `folder`, and return where it came from and what it holds.

    The files are read twice, a part in memory at a time: first labels, groups and splits, then the texts.

    Raises:
        InputError: naming file and row of what cannot be trained on.
    """
    path = Path(settings.dataset).expanduser()
    sha256 = hash_files(path)
    if settings.sha256 and settings.sha256.lower() != sha256:
        raise InputError(f"{path}: its content has changed while the run began; run again")
    names, labels, groups, splits = read_columns(path, settings)
    negative, positive = name_labels(names, settings.positive_label, path)
    is_positive = labels == names.index(positive)
    split = split_rows(is_positive, groups, splits, settings, path)
    check = check_classes(is_positive, split, settings, path) | write_reviews(
        path, settings, is_positive, split, folder / REVIEWS
    )
    return {
        "name": path.stem,
        "source": path.resolve().as_uri(),
        "sha256": sha256,
        "labels": [negative, positive],
        "check": check,
    }


def read_columns(
    path: Path, settings: SourceSettings
) -> tuple[list[str], np.ndarray, list[str] | None, list[str] | None]:
    """Return the labels' names, each row's label as a place among them, and its group and split if these are named.

    Raises:
        InputError: a column is missing, or a row has no text, label, group or split.
    """
    names: dict[str, int] = {}
    labels: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in (settings.group_column, settings.split_column) if name}
    for file, first, batch in rows_of(path, settings.text_column):
        texts_of(batch, settings.text_column, file, first)
        for label in filled(batch, settings.label_column, file, first, "--data.label-column"):
            labels.append(names.setdefault(label, len(names)))
        for name, values in columns.items():
            values += filled(batch, name, file, first, "--data.group-column or --data.split-column")
        if len(names) > 2:
            row = first + labels[len(labels) - len(batch) :].index(2) + 1
            raise InputError(
                f"{file}: row {row} has the label {list(names)[2]!r}, a third beside "
                f"{' and '.join(map(repr, list(names)[:2]))}; this pipeline tells two classes apart"
            )
    return (
        list(names),
        np.array(labels),
        columns.get(str(settings.group_column)),
        columns.get(str(settings.split_column)),
    )


def rows_of(path: Path, text_column: str) -> Iterator[tuple[Path, int, pa.RecordBatch]]:
    """Yield the batches of every file, each with its file and the row of the file that it begins with."""
    for file in table_files(path):
        first = 0
        for batch in read_batches(file, text_column):
            yield file, first, batch
            first += len(batch)


def filled(batch: pa.RecordBatch, column: str, file: Path, first: int, flag: str) -> list[str]:
    """Return a column as text, or refuse a row that has nothing there."""
    if column not in batch.schema.names:
        raise InputError(f"{file}: has no column {column!r}, only {', '.join(batch.schema.names)}; name it with {flag}")
    values = batch.column(column)
    if values.null_count:
        row = first + values.is_null().to_pylist().index(True) + 1
        raise InputError(f"{file}: row {row} has nothing in {column!r}; fill it in or remove the row")
    texts: list[str] = values.cast(pa.string()).to_pylist()
    return texts


def name_labels(names: list[str], positive: str | None, path: Path) -> tuple[str, str]:
    """Return the names of the negative and the positive label.

    Raises:
        InputError: there are not two, or it is not known which one is the positive one.
    """
    if len(names) != 2:
        raise InputError(f"{path}: has the label {', '.join(map(repr, names)) or 'of no row'} only; two are needed")
    if positive is not None:
        if positive not in names:
            raise InputError(f"{path}: no row has the label {positive!r}, only {' and '.join(map(repr, names))}")
        return next(name for name in names if name != positive), positive
    for known in KNOWN_LABELS:
        if {name.lower() for name in names} == set(known):
            negative, named = sorted(names, key=lambda name: known.index(name.lower()))
            return negative, named
    raise InputError(
        f"{path}: the labels are {' and '.join(map(repr, names))}; say which one is the positive one with "
        f"--data.positive-label {names[0]}"
    )


def split_rows(
    is_positive: np.ndarray, groups: list[str] | None, splits: list[str] | None, settings: SourceSettings, path: Path
) -> np.ndarray:
    """Return the split of each row: (n,) of "train", "validation" or "test".

    A split column decides; else groups are kept together; else each label is dealt out by itself.

    Raises:
        InputError: a split has a name that is not known, or no test reviews are among them.
    """
    if splits is not None:
        named = np.array([SPLIT_NAMES.get(name.strip().lower(), "") for name in splits])
        if (named == "").any():
            row = int(np.flatnonzero(named == "")[0])
            raise InputError(f"{path}: row {row + 1} has the split {splits[row]!r}; expected train, validation or test")
        if not {"train", "test"} <= set(named.tolist()):
            raise InputError(f"{path}: the column {settings.split_column!r} names no train or no test reviews")
        return named
    result = np.full(len(is_positive), "train", "U10")
    for number, split in enumerate(("test", "validation")):
        rows = np.flatnonzero(result == "train")
        seed = settings.split_seed + number
        if groups is not None:
            drawn = np.array(split_by_group([groups[row] for row in rows], settings.held_out, seed)) == "test"
            result[rows[drawn]] = split
        else:
            rng = np.random.default_rng(seed)
            for label in (False, True):
                its = rng.permutation(rows[is_positive[rows] == label])
                result[its[: round(settings.held_out * len(its))]] = split
    return result


def check_classes(is_positive: np.ndarray, split: np.ndarray, settings: SourceSettings, path: Path) -> dict[str, Any]:
    """Return the rows and the share of positive ones of each split.

    Raises:
        InputError: one label is rarer than the limit.
    """
    found = {}
    for name in SPLITS:
        rows = split == name
        if rows.any():
            found[name] = {"rows": int(rows.sum()), "positive": float(is_positive[rows].mean())}
    for name, its in found.items():
        if not settings.min_class_share <= its["positive"] <= 1 - settings.min_class_share:
            raise InputError(
                f"{path}: {its['positive']:.1%} of the {its['rows']:,} {name} rows are positive; the limit is "
                f"{settings.min_class_share:.1%} of either label (--data.min-class-share)"
            )
    return {"splits": found}


def write_reviews(
    path: Path, settings: SourceSettings, is_positive: np.ndarray, split: np.ndarray, target: Path
) -> dict[str, Any]:
    """Write the reviews, and return how many stand in training and beside it too.

    Returns:
        {"leaks": rows of validation and test whose text is also a training row's, "duplicates": rows whose text an
        earlier row of the same split has}.

    Raises:
        InputError: there are more leaks than the limit, naming the first of them.
    """
    seen: dict[str, set[bytes]] = {name: set() for name in SPLITS}
    duplicates = place = 0
    schema = pa.schema([("split", pa.string()), ("label", pa.int8()), ("text", pa.string())])
    held_out: list[tuple[str, bytes]] = []
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file, first, batch in rows_of(path, settings.text_column):
            texts = texts_of(batch, settings.text_column, file, first)
            rows = slice(place, place + len(batch))
            for number, text in enumerate(texts.to_pylist()):
                short = hashlib.blake2b(text.strip().lower().encode(), digest_size=8).digest()
                its = str(split[place + number])
                duplicates += short in seen[its]
                seen[its].add(short)
                if its != "train":
                    held_out.append((f"{file.name} row {first + number + 1}", short))
            columns = [pa.array(split[rows]), pa.array(is_positive[rows].astype(np.int8)), texts]
            writer.write_table(pa.table(columns, schema=schema))
            place += len(batch)
    leaks = [where for where, short in held_out if short in seen["train"]]
    if len(leaks) > settings.max_leaks * max(len(held_out), 1):
        raise InputError(
            f"{path}: {len(leaks):,} of {len(held_out):,} validation and test rows have a text that a training row has "
            f"too ({', '.join(leaks[:ROWS_NAMED])}{', …' if len(leaks) > ROWS_NAMED else ''}); remove them, split by "
            f"--data.group-column, or raise --data.max-leaks (it is {settings.max_leaks})"
        )
    return {"leaks": len(leaks), "duplicates": duplicates}
