"""Rows of your own files: those with a label, with their split, group and origin."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.texts.sources.labels import Labels
from tasks.texts.sources.splits import LEFT_OUT, hash_texts, read_splits
from tasks.texts.tables.columns import required_strings, strings_of, texts_of
from tasks.texts.tables.text_folder import FILE_NAME

# The rows that are trained on: label is a number by first appearance, split a place in SPLITS, others are hashes.
STAGED = pa.schema({"text": pa.string(), "file": pa.string(), "row": pa.int64(), "label": pa.int16(),
                    "hash": pa.uint64(), "split": pa.int8(), "group": pa.uint64()})  # fmt: skip


def labelled_rows(batch: pa.RecordBatch, file: Path, name: str, first: int, labels: Labels, split: int) -> pa.Table:
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
    spellings = strings_of(batch, settings.label_column, file, "--data.label-column")
    numbers = labels.numbers_of(spellings, file, rows)
    places = np.flatnonzero(numbers != LEFT_OUT)
    batch, rows = batch.take(pa.array(places)), rows[places]
    texts = texts_of(batch, settings.text_column, file, rows)
    columns = {
        "text": texts,
        "file": pa.repeat(name, len(rows)),
        "row": rows,
        "label": numbers[places],
        "hash": hash_texts(texts.to_pylist(), settings.split_seed),
        "split": splits[places],
        "group": pa.nulls(len(rows)),
    }
    if settings.group_column:
        groups = required_strings(batch, settings.group_column, file, rows)
        columns["group"] = hash_texts(groups, settings.split_seed)
    if file.is_dir():  # each of its files is a row
        columns["file"] = pc.binary_join_element_wise(name, batch[FILE_NAME], "/")
        columns["row"] = np.ones_like(rows)
    return pa.table(columns).cast(STAGED)
