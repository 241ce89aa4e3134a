"""Rows of your own files: those with a label, with their split, group and origin."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.texts.sources.corrections import Corrections
from tasks.texts.sources.labels import Labels
from tasks.texts.sources.splits import LEFT_OUT, hash_texts, read_splits
from tasks.texts.tables.columns import required_strings, strings_of, texts_of
from tasks.texts.tables.text_folder import FILE_NAME

# The rows that are trained on: label is a number by first appearance, before the label before its correction, split a
# place in SPLITS, others are hashes.
STAGED = pa.schema({"text": pa.string(), "file": pa.string(), "row": pa.int64(), "label": pa.int16(),
                    "hash": pa.uint64(), "split": pa.int8(), "group": pa.uint64(), "before": pa.string()})  # fmt: skip


def labelled_rows(
    batch: pa.RecordBatch, file: Path, name: str, first: int, labels: Labels, corrections: Corrections, split: int
) -> pa.Table:
    """Return the labelled rows of a batch as `STAGED`; without their columns, splits are `split` and groups null.

    The batch has `first` rows of its file before it; `name` is the file's name in the table. Raise InputError if a row
    has an invalid text, group or split, or labels look alike.
    """
    rows, settings = first + 1 + np.arange(len(batch)), labels.settings
    splits = np.full(len(batch), split, np.int8)
    if settings.split_column:
        splits = read_splits(required_strings(batch, settings.split_column, file, rows), file, rows)
    places = np.flatnonzero(splits != LEFT_OUT)
    labels.left_out["of an unsupervised split"] += len(batch) - len(places)
    batch, rows, splits = batch.take(pa.array(places)), rows[places], splits[places]
    files, numbers_in_file = pa.array([name] * len(rows), pa.string()), rows
    if file.is_dir():  # each of its files is a row
        files, numbers_in_file = pc.binary_join_element_wise(name, batch[FILE_NAME], "/"), np.ones_like(rows)
    spellings = strings_of(batch, settings.label_column, file, "--data.label-column")
    spellings, before = corrections.apply(spellings, batch[settings.text_column], files, numbers_in_file)
    numbers = labels.numbers_of(spellings, file, rows)
    is_kept = numbers != LEFT_OUT
    kept, rows = batch.filter(pa.array(is_kept)), rows[is_kept]
    texts = texts_of(kept, settings.text_column, file, rows)
    hashes, groups = hash_texts(texts.to_pylist(), settings.split_seed), pa.nulls(len(rows))
    if settings.group_column:
        groups = hash_texts(required_strings(kept, settings.group_column, file, rows), settings.split_seed)
    origins = pa.table({"file": files, "row": numbers_in_file, "before": before}).filter(pa.array(is_kept))
    columns = {"text": texts, "label": numbers[is_kept], "hash": hashes, "split": splits[is_kept], "group": groups}
    return pa.table(columns | {name: origins[name] for name in origins.column_names}).select(STAGED.names).cast(STAGED)
