"""Pad: turn token lists into a rectangle, cut validation from training, and write Parquet."""

import math
from functools import partial
from pathlib import Path

import numpy as np

from tasks.core.data_settings import PadSettings
from tasks.core.errors import DataError
from tasks.store.step import step
from tasks.texts.encoded import count_encoded, encoded_file, iterate_encoded, read_encoding
from tasks.texts.groups import group_boundary, is_contiguous, read_groups
from tasks.texts.padded import pad_batch, padded_file, padded_schema, write_padded


def split_bounds(
    train_rows: int, test_rows: int, validation_split: float, validation_rows: int = 0
) -> dict[str, tuple[str, int, int]]:
    """Return the encoded split that each split is cut from, its first row, and the row after its last.

    Validation takes the end of the training texts, like Keras's `validation_split`, unless it has its own.
    """
    cut = train_rows if validation_rows else math.floor(train_rows * (1 - validation_split))
    bounds = {
        "train": ("train", 0, cut),
        "validation": ("validation", 0, validation_rows) if validation_rows else ("train", cut, train_rows),
        "test": ("test", 0, test_rows),
    }
    for split, (_source, start, stop) in bounds.items():
        if start >= stop:
            raise DataError(
                f"the {split} split would be empty: {train_rows} training and {test_rows} test texts, "
                f"validation_split {validation_split}; give more texts or another share"
            )
    return bounds


def align_to_groups(bounds: dict[str, tuple[str, int, int]], groups: np.ndarray) -> dict[str, tuple[str, int, int]]:
    """Return bounds of `split_bounds` whose cut separates no group; `groups` are (train_rows,), each contiguous."""
    cut = group_boundary(groups, bounds["train"][2])
    if not cut:
        raise DataError(
            f"validation cannot take whole groups: the first {bounds['train'][2]} training texts are one group; "
            "give more groups, or leave --data.whole-groups out"
        )
    return bounds | {"train": ("train", 0, cut), "validation": ("train", cut, len(groups))}


@step(run_name="pad to {settings.maxlen}")
def pad(*, encoded: Path, settings: PadSettings, folder: Path) -> dict[str, int]:
    """Write train, validation and test.parquet, and return the number of texts in each."""
    train_rows, test_rows = (count_encoded(encoded_file(encoded, split)) for split in ("train", "test"))
    own = encoded_file(encoded, "validation")
    bounds = split_bounds(train_rows, test_rows, settings.validation_split, count_encoded(own) if own.exists() else 0)
    if not own.exists() and is_contiguous(encoded):
        bounds = align_to_groups(bounds, read_groups(encoded))
    encoding = read_encoding(encoded)
    sides = settings.padding, settings.truncating
    schema = padded_schema(settings.maxlen, encoding.vocabulary_size, *sides, encoding.tokenisation, encoding.labels)
    pad_one = partial(pad_batch, maxlen=settings.maxlen, padding=settings.padding, truncating=settings.truncating)
    rows = {}
    for split, (source, start, stop) in bounds.items():
        parts = map(pad_one, iterate_encoded(encoded_file(encoded, source), start, stop))
        rows[split] = write_padded(padded_file(folder, split), schema, parts)
    return rows
