"""Shuffle: which rows of each split a run takes, and their order, into which a file on disk brings them."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import OrderSettings
from tasks.texts.groups import keep_together
from tasks.texts.vocabulary import list_offsets

# As Keras shuffles the first two; only data that brings its own has the third.
SHUFFLED = ("train", "test", "validation")
ROWS_IN_MEMORY = 8192


def order_texts(
    columns: dict[str, np.ndarray],
    settings: OrderSettings,
    groups: np.ndarray | None = None,
    first: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the row numbers of each split as encoded.

    They are the first `max_reviews` in the order of keras.datasets.imdb.load_data. The training rows of each group are
    together, or each is at the place of `first`, the first row that is like it. `columns` has a column of each split,
    in the order in which they are shuffled; only its rows count.
    """
    rng, orders = np.random.RandomState(settings.shuffle_seed), {}
    for split, column in columns.items():
        order = np.arange(len(column))
        rng.shuffle(order)
        orders[split] = order[: settings.max_reviews]
        if split == "train" and first is not None:
            place = np.argsort(order)[first[orders[split]]]
            orders[split] = orders[split][np.argsort(place, kind="stable")]
    return orders if groups is None else orders | {"train": keep_together(orders["train"], groups)}


def reorder(parts: Iterable[pa.ListArray], scratch: BinaryIO) -> Callable[[np.ndarray], Iterator[pa.ListArray]]:
    """Write n lists of integers of one type to an empty file, and return a function that yields some in another order.

    It takes (m,) distinct row numbers, and yields at most 8,192 lists at a time.
    """
    counts, dtype = [np.zeros(1, np.int32)], np.dtype(np.int32)
    for part in parts:
        values = part.flatten().to_numpy()
        dtype = values.dtype
        counts.append(np.diff(list_offsets(part)).astype(np.int32))
        scratch.write(values)
    scratch.flush()
    bounds = np.cumsum(np.concatenate(counts), dtype=np.int64)
    bounds *= dtype.itemsize

    def read(order: np.ndarray) -> Iterator[pa.ListArray]:
        for start in range(0, len(order), ROWS_IN_MEMORY):
            rows = order[start : start + ROWS_IN_MEMORY]
            sizes = bounds[rows + 1] - bounds[rows]
            places = zip(sizes.tolist(), bounds[rows].tolist(), strict=True)
            content = b"".join(os.pread(scratch.fileno(), size, place) for size, place in places)
            offsets = np.concatenate([[0], np.cumsum(sizes)]) // dtype.itemsize
            yield pa.ListArray.from_arrays(offsets, np.frombuffer(content, dtype))

    return read
