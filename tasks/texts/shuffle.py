"""Shuffle: which rows of each split a run takes, their order, and an external sort that brings them into it."""

import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.texts.tables.reading import regroup

# As Keras shuffles the first two; only data that brings its own has the third.
SHUFFLED = ("train", "test", "validation")
ROWS_IN_MEMORY = 8192
MAX_PILES = 256
WRITE_BYTES = 16 << 20


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
    """Yield the rows of `parts` in another order, at most 8,192 at a time.

    Args:
        parts: lists, n rows in all.
        order: (m,) distinct row numbers, in the order of the result; other rows are dropped.
        scratch: an empty folder.
    """
    place_of_row = np.full(order.max(initial=-1) + 1, -1, np.int64)
    place_of_row[order] = np.arange(len(order))

    def place_rows() -> Iterator[pa.RecordBatch]:
        first = 0
        for part in parts:
            places = place_of_row[first : first + len(part)]
            first += len(part)
            kept = np.flatnonzero(places >= 0)
            yield pa.record_batch({"place": places[kept], "tokens": part.take(pa.array(kept))})

    if len(order):
        yield from sort_by_place(place_rows(), 0, len(order), scratch)


def sort_by_place(batches: Iterable[pa.RecordBatch], first: int, stop: int, scratch: Path) -> Iterator[pa.ListArray]:
    """Yield the tokens of `batches` by place: each place from `first` up to `stop` occurs once.

    More than 8,192 rows are split into at most 256 piles on disk, which are sorted recursively, so up to two million
    rows are written only once.
    """
    if stop - first <= ROWS_IN_MEMORY:
        yield pa.Table.from_batches(batches).sort_by("place")["tokens"].combine_chunks()
        return
    rows_per_pile = ROWS_IN_MEMORY
    while rows_per_pile * MAX_PILES < stop - first:
        rows_per_pile *= MAX_PILES
    bounds = [*range(first, stop, rows_per_pile), stop]
    piles = [scratch / f"{low}.arrow" for low in bounds[:-1]]
    write_piles(batches, bounds, piles)
    for pile, (low, high) in zip(piles, itertools.pairwise(bounds), strict=True):
        below = scratch / pile.stem
        below.mkdir()
        with pa.OSFile(str(pile)) as file:
            reader = pa.ipc.open_file(file)
            rows = (reader.get_batch(number) for number in range(reader.num_record_batches))
            yield from sort_by_place(rows, low, high, below)
        below.rmdir()
        pile.unlink()


def write_piles(batches: Iterable[pa.RecordBatch], bounds: list[int], piles: list[Path]) -> None:
    """Write rows to one file for each range between two bounds."""
    with contextlib.ExitStack() as files:
        writers: list[pa.RecordBatchWriter] = []
        for gathered in regroup(batches, sys.maxsize, WRITE_BYTES):  # small writes make reading slow
            rows = gathered.sort_by("place")
            if not writers:
                writers = [files.enter_context(pa.ipc.new_file(str(pile), rows.schema)) for pile in piles]
            cuts = np.searchsorted(rows["place"].to_numpy(), bounds)
            for writer, (start, end) in zip(writers, itertools.pairwise(cuts), strict=True):
                if start < end:
                    writer.write_batch(rows.slice(start, end - start))
