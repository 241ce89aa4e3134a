"""Shuffle: which rows of each split a run takes, and their order, into which a file on disk brings them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.texts.vocabulary import list_offsets

# As Keras shuffles the first two; only data that brings its own has the third.
SHUFFLED = ("train", "test", "validation")
ROWS_IN_MEMORY = 8192


def shuffled_orders(rows: dict[str, int], seed: int, max_reviews: int | None) -> dict[str, np.ndarray]:
    """Return each split's first `max_reviews` row numbers in the order of keras.datasets.imdb.load_data.

    `rows` has the size of each split, in the order in which they are shuffled.
    """
    rng = np.random.RandomState(seed)
    orders = {}
    for split, count in rows.items():
        order = np.arange(count)
        rng.shuffle(order)
        orders[split] = order[:max_reviews]
    return orders


def reorder(parts: Iterable[pa.ListArray], order: np.ndarray, scratch: Path) -> Iterator[pa.ListArray]:
    """Yield the rows of `parts`, n lists of integers of one type, in another order, at most 8,192 at a time.

    Rows not in `order`, (m,) distinct row numbers, are dropped. `scratch` is an empty folder, for a file of the
    integers.
    """
    ends, end, path, dtype = [np.zeros(1, np.int64)], np.int64(0), scratch / "values", np.dtype(np.int32)
    with path.open("wb") as file:
        for part in parts:
            values = part.flatten().to_numpy()
            dtype = values.dtype
            ends.append(end + list_offsets(part)[1:])
            end += len(values)
            file.write(values)
    bounds = np.concatenate(ends) * dtype.itemsize
    with path.open("rb") as file:
        for start in range(0, len(order), ROWS_IN_MEMORY):
            rows = order[start : start + ROWS_IN_MEMORY]
            sizes = bounds[rows + 1] - bounds[rows]
            places = zip(sizes.tolist(), bounds[rows].tolist(), strict=True)
            content = b"".join(os.pread(file.fileno(), size, place) for size, place in places)
            offsets = np.concatenate([[0], np.cumsum(sizes)]) // dtype.itemsize
            yield pa.ListArray.from_arrays(offsets, np.frombuffer(content, dtype))
    path.unlink()
