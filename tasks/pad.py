"""Pad: token lists of any length to one rectangle, split three ways, kept as Parquet."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prefect import task

from tasks.core.caching import BY_CONTENT, keep, path_of
from tasks.core.errors import DataError
from tasks.core.settings import PadSettings
from tasks.core.store import Artifact
from tasks.reviews.encoded import count_encoded, encoded_file, iterate_encoded, read_encoding
from tasks.reviews.groups import cut_between, read_groups, stand_together
from tasks.reviews.padded import pad_tokens, padded_file, padded_schema, write_padded


def split_bounds(
    train_rows: int, test_rows: int, validation_split: float, validation_rows: int = 0
) -> dict[str, tuple[str, int, int]]:
    """Return, for each split, the encoded split it is cut from and its first and last row, the latter excluded.

    Validation takes the end of the training reviews, as Keras's `validation_split` does, where it has none of its own.

    Raises:
        DataError: a split would be empty.
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
                f"the {split} split would be empty: {train_rows} training and {test_rows} test reviews, "
                f"validation_split {validation_split}; give more reviews or another share"
            )
    return bounds


def part_groups(bounds: dict[str, tuple[str, int, int]], groups: np.ndarray) -> dict[str, tuple[str, int, int]]:
    """Return bounds whose cut between training and validation parts no group.

    Args:
        bounds: as `split_bounds` returns them, validation cut from the training reviews.
        groups: (train_rows,) of each training review, those of a group together.

    Raises:
        DataError: all reviews before the cut are of one group.
    """
    cut = cut_between(groups, bounds["train"][2])
    if not cut:
        raise DataError(
            f"validation cannot take whole groups: the first {bounds['train'][2]} training reviews are of one group; "
            "give more groups, or leave --data.whole-groups out"
        )
    return bounds | {"train": ("train", 0, cut), "validation": ("train", cut, len(groups))}


def pad_splits(encoded: Path, settings: PadSettings, folder: Path) -> dict[str, int]:
    """Write train, validation and test.parquet and return how many reviews each holds."""
    train_rows, test_rows = (count_encoded(encoded_file(encoded, split)) for split in ("train", "test"))
    own = encoded_file(encoded, "validation")
    bounds = split_bounds(train_rows, test_rows, settings.validation_split, count_encoded(own) if own.exists() else 0)
    if not own.exists() and stand_together(encoded):
        bounds = part_groups(bounds, read_groups(encoded))
    its = read_encoding(encoded)
    sides = settings.padding, settings.truncating
    schema = padded_schema(settings.maxlen, its.vocabulary_size, *sides, its.tokenisation, its.labels)
    rows = {}
    for split, (source, start, stop) in bounds.items():
        path = encoded_file(encoded, source)
        rows[split] = write_padded(padded_file(folder, split), schema, pad_rows(path, start, stop, settings))
    return rows


def pad_rows(
    path: Path, start: int, stop: int, settings: PadSettings
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield tokens, lengths and labels of encoded rows, part by part."""
    for batch in iterate_encoded(path, start, stop):
        tokens, lengths = pad_tokens(
            batch.column("tokens"), settings.maxlen, padding=settings.padding, truncating=settings.truncating
        )
        yield tokens, lengths, batch.column("label").to_numpy()


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="pad to {settings.maxlen}")
def pad(encoded: Artifact, settings: PadSettings) -> Artifact:
    """Pad every split of `encoded` to `settings.maxlen` and keep it as Parquet."""
    return keep(lambda folder: pad_splits(path_of(encoded), settings, folder))
