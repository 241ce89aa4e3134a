"""Your own files: their texts are checked, split and written as texts.parquet."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import SourceSettings, is_address
from tasks.core.errors import InputError
from tasks.texts.dataset_info import TEXTS
from tasks.texts.groups import first_equal
from tasks.texts.near_duplicates import ODD, cluster_texts, first_of_cluster
from tasks.texts.padded import MIN_VALIDATION_ROWS, SPLITS
from tasks.texts.sources.labels import Labels
from tasks.texts.sources.layouts import hash_files, labelled_files, name_in, splits_by_name
from tasks.texts.sources.own_rows import STAGED, labelled_rows
from tasks.texts.sources.remote import dataset_path
from tasks.texts.sources.splits import (
    LEFT_OUT,
    REMOVED,
    TEST,
    TRAIN,
    VALIDATION,
    OwnTexts,
    Warn,
    assign_splits,
    check_classes,
    check_leaks,
    check_shares,
    without_leaks,
)
from tasks.texts.tables.columns import EmptyTable, MissingColumn, ReadOptions
from tasks.texts.tables.reading import iterate_rows, read_batches
from tasks.texts.tables.table_files import name_few, name_of
from tasks.texts.tables.text_decoding import ROWS_PER_BATCH

INVERSE = np.uint64(pow(int(ODD), -1, 2**64))
MAX_CLUSTERED = 1_000_000  # rows whose signatures fit into 256 MB
MIN_WORDS = 10  # of a text whose near-duplicates are in one group with it: "ok" would tie all groups together


def fetch_own(settings: SourceSettings, folder: Path, warn: Warn) -> dict[str, Any]:
    """Write texts.parquet (split, label, text, file, row; group if there is such a column) into `folder`.

    The files are read once, into a Parquet file; only a few numbers per row stay in memory. `warn` is called with each
    line about what is left out or read in a special way. Raise InputError if they change meanwhile or cannot be trained
    on.
    """
    own = OwnTexts(dataset_path(settings), settings, warn)
    path, sha256 = own.path, (settings.sha256 or hash_files(own.path)).lower()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        staged, labels = Path(scratch) / TEXTS, Labels(path, settings)
        by_name = stage_rows(own, labels, staged)
        if hash_files(path) != sha256:
            raise InputError(f"{path}: its content has changed since the run began; run again")
        rows = pq.read_table(staged, columns=STAGED.names[1:], read_dictionary=["file"])  # without the text
        numbers, first_rows = labels.finish(rows["label"].to_numpy(), warn)
        split, alike = split_rows(rows, staged, own, by_name=by_name)
        check = check_classes(rows, numbers, first_rows, split, own) | check_leaks(rows, split, own)
        split_names = pa.DictionaryArray.from_arrays(split, pa.array([*SPLITS, "removed"]))
        columns = rows.select(["file", "row", "group"] if settings.group_column else ["file", "row"])
        columns = columns.append_column("split", split_names).append_column("label", pa.array(numbers))
        if VALIDATION not in split:  # it is cut from the training rows
            columns = columns.append_column("alike", pa.array(alike))
        write_texts(columns, staged, folder / TEXTS)
    source = settings.dataset if is_address(settings.dataset) else path.resolve().as_uri()
    named = path if path.stem.strip(".") else path.resolve()  # not ./
    return {"name": name_of(named), "source": source, "sha256": sha256, "labels": list(first_rows), "check": check}


def stage_rows(own: OwnTexts, labels: Labels, staged: Path) -> bool:
    """Write the rows of all files that are trained on, and return the result of `are_splits_named`."""
    path, settings, warn = own
    kinds = {kind: getattr(settings, f"{kind}_column") for kind in ("text", "label", "split", "group")}
    flags = {column: f"--data.{kind}-column" for kind, column in kinds.items() if column}
    same = settings.model_dump(include={"text_column", "label_column", "encoding", "delimiter", "quoting"})
    options = ReadOptions(columns=flags, flags="--data.", warn=warn, **same)
    files = labelled_files(path)
    splits, read = splits_by_name(files, path, settings), dict[str, int | None]()
    left_out = defaultdict[str, list[str]](list)
    with pq.ParquetWriter(staged, STAGED) as writer:
        for file in files:
            name, first, kept, named = name_in(path, file), 0, 0, splits.get(file)
            if named == LEFT_OUT:
                left_out["unlabelled by its name"].append(name)
                continue
            try:
                for batch in read_batches(file, options) if file == path or file.stat().st_size else ():
                    rows = labelled_rows(batch, file, name, first, labels, named or TRAIN)
                    writer.write_table(rows)
                    first, kept = first + len(batch), kept + len(rows)
            except EmptyTable:
                if file == path:
                    raise
            except MissingColumn as error:
                if not splits or named == TRAIN or error.column == settings.group_column:
                    raise
                warn(f"left out: {error}")
                continue
            if kept:
                read[name] = named
            else:
                left_out["no rows with a label to train on" if first else "no rows"].append(name)
    for why, names in left_out.items():
        if read:
            warn(f"{path}: {name_few(names)} left out: {why}")
    return bool(splits and read) and are_splits_named(path, read, warn)


def are_splits_named(path: Path, splits: dict[str, int | None], warn: Warn) -> bool:
    """Return whether the names of the files read say their splits, not all training; refuse if only some do."""
    places = sorted({place for place in splits.values() if place is not None})
    if places in ([], [TRAIN]):
        warn(f"{path}: {name_few(list(splits))}: split as usual")
        return False
    if unnamed := [name for name, place in splits.items() if place is None]:
        raise InputError(
            f"{path}: {name_few(unnamed)} is not named train, validation or test, but others are; rename "
            "or remove it, or give --data.split-column"
        )
    uses = list(SPLITS)
    if TEST not in places:
        uses[VALIDATION] = uses[TEST]
        warn(f"{path}: has no test file, so the validation file is for testing")
    by_split = [f"{uses[at]} {name_few([name for name in splits if splits[name] == at])}" for at in places]
    warn(f"{path}: the names say the split: {'; '.join(by_split)}")
    return True


def split_rows(rows: pa.Table, staged: Path, own: OwnTexts, *, by_name: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the split of each row, from a column, its file or by hash, and the first row that is like it.

    The splits are (n,) int8 places in SPLITS, or `REMOVED`.
    """
    path, settings, warn = own
    split, texts = rows["split"].to_numpy(), rows["hash"].to_numpy()
    hashes = rows["group"].to_numpy() if settings.group_column else texts
    alike = first_equal(hashes)
    if by_name and TEST not in split:
        split = np.where(split == VALIDATION, np.int8(TEST), split)
    if not (by_name or settings.split_column):
        if settings.near_duplicates == "together" and (near := cluster_rows(len(rows), staged, own)) is not None:
            links = [np.stack([np.arange(len(rows)), mates], 1) for mates in (near, alike)]
            alike = first_of_cluster(len(rows), np.concatenate(links))
        split = assign_rows(hashes, alike, rows["label"].to_numpy(), own)
    if not {TRAIN, TEST} <= set(split.tolist()):
        where = f"the column {settings.split_column!r}" if settings.split_column else "the split"
        raise InputError(f"{path}: {where} names no train or no test rows")
    if settings.leaks == "remove":
        split = without_leaks(texts, split)
    if removed := int((split == REMOVED).sum()):
        warn(f"{path}: left out {removed:,} rows whose text is also in validation or test (see --data.leaks)")
    if settings.near_duplicates == "drop" and (near := cluster_rows(len(rows), staged, own)) is not None:
        split = without_leaks(near, split)
        dropped = int((split == REMOVED).sum()) - removed
        warn(f"{path}: left out {dropped:,} rows whose text is nearly a validation or test text")
    return split, alike


def cluster_rows(rows: int, staged: Path, own: OwnTexts) -> np.ndarray | None:
    """Return the first near-duplicate of each staged row: (rows,) int64; None if they are too many."""
    path, settings, warn = own
    if rows > MAX_CLUSTERED:
        warn(f"{path}: near-duplicates are not looked for among more than {MAX_CLUSTERED:,} rows")
        return None
    texts = (batch["text"] for batch in iterate_rows(staged, ["text"], ROWS_PER_BATCH))
    is_tied = settings.group_column and settings.near_duplicates == "together"
    return cluster_texts(texts, MIN_WORDS if is_tied else 1)


def assign_rows(hashes: np.ndarray, alike: np.ndarray, labels: np.ndarray, own: OwnTexts) -> np.ndarray:
    """Return the split of each row by the hash of its group or text; rows that are alike have that of one of them.

    All arrays are (n,); `alike` has the first row that is like each one.
    """
    path, settings, _warn = own
    test, validation = settings.held_out, (1 - settings.held_out) * settings.held_out / 2
    # Which of them must not depend on the order of the rows, and the lowest hash would too often be one for testing.
    mixed = hashes * ODD
    lowest = mixed.copy()
    np.minimum.at(lowest, alike, mixed)
    shared = lowest[alike] * INVERSE
    grouped = f", grouped by {settings.group_column!r}" if settings.group_column else ""
    grouped += ", near-duplicates together (see --data.near-duplicates)" if (shared != hashes).any() else ""
    if (hashes == hashes[0]).all():
        kind, column = ("group", settings.group_column) if settings.group_column else ("text", settings.text_column)
        raise InputError(
            f"{path}{grouped}: all {len(hashes):,} rows have the same {kind}, so they cannot be split; is {column!r} "
            f"the {kind} column (--data.{kind}-column)?"
        )
    split = assign_splits(shared, test, validation)
    validated = split == VALIDATION
    if validated.sum() < MIN_VALIDATION_ROWS or len(np.unique(labels[validated])) < len(np.unique(labels)):
        split[validated], validation = TRAIN, 0.0  # encode takes as many as it needs from the training rows, by label
    check_shares(split, test, validation, f"{path}{grouped}")
    return split


def write_texts(columns: pa.Table, staged: Path, path: Path) -> None:
    """Write columns with the texts of the staged rows, in the same order."""
    first, text = 0, STAGED.field("text")
    with pq.ParquetWriter(path, columns.schema.append(text), compression="zstd") as writer:
        for batch in iterate_rows(staged, ["text"], ROWS_PER_BATCH):
            writer.write_table(columns.slice(first, len(batch)).append_column(text, batch["text"]))
            first += len(batch)
