"""Encode: words to token ids by frequency, shuffled, kept as Parquet."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from prefect import task

from tasks.core.caching import BY_CONTENT, keep
from tasks.core.environment import store_root
from tasks.core.errors import DataError
from tasks.core.settings import EncodeSettings
from tasks.core.store import Artifact, Store
from tasks.reviews.encoded import (
    ROWS_A_GROUP,
    Encoding,
    encoded_file,
    write_encoded,
    write_encoding,
    write_vocabulary,
    write_words,
)
from tasks.reviews.ranked import Ranked, read_ranked
from tasks.reviews.text import highest_id, ranks_to_ids
from tasks.reviews.word_check import WordCheck


def check_labels(labels: dict[str, np.ndarray]) -> None:
    """Refuse splits that lack one of the two labels.

    Args:
        labels: (n,) 0 or 1, by split.

    Raises:
        DataError: naming the split and what it has.
    """
    for split, its in labels.items():
        counts = np.bincount(its, minlength=2)
        if not counts.all():
            raise DataError(
                f"the {split} reviews have {counts[0]} negative and {counts[1]} positive ones; "
                "both are needed to train and judge a classifier"
            )


def shuffled_orders(rows: dict[str, int], seed: int, max_reviews: int | None) -> dict[str, np.ndarray]:
    """Return which rows each split has, in the order of keras.datasets.imdb.load_data, the first `max_reviews` only.

    Args:
        rows: how many reviews each split has, in the order in which they are shuffled.
        seed: of both shuffles.
        max_reviews: how many are kept of each; None keeps all.
    """
    rng = np.random.RandomState(seed)
    orders = {}
    for split, count in rows.items():
        order = np.arange(count)
        rng.shuffle(order)
        orders[split] = order[:max_reviews]
    return orders


def limit_of(ranked: Ranked, settings: EncodeSettings) -> int:
    """Return the number below which ids end.

    Without `num_words` the highest id of all splits takes its place, and so becomes oov_char, as it does in load_data.
    """
    if settings.num_words:
        return settings.num_words
    return max(
        highest_id(part, settings.start_char, settings.index_from)
        for parts in ranked.parts.values()
        for part in parts()
    )


def reorder(parts: Iterable[pa.ListArray], order: np.ndarray, scratch: Path) -> Iterator[pa.ListArray]:
    """Yield the rows of `parts` in another order, with one part in memory at a time.

    Rows are first dealt to a file for each part of the result, then each file is read and sorted.

    Args:
        parts: lists, n rows in all.
        order: (m,) row numbers of the result, each at most once; rows that it leaves out are left out.
        scratch: an empty folder for the files.

    Yields:
        The m rows, at most 8,192 at a time.
    """
    piles = -(-len(order) // ROWS_A_GROUP)
    place_of_row = np.full(order.max(initial=-1) + 1, -1, np.int64)
    place_of_row[order] = np.arange(len(order))
    first = 0
    with contextlib.ExitStack() as files:
        writers: dict[int, pa.RecordBatchWriter] = {}
        for part in parts:
            places = np.full(len(part), -1, np.int64)
            known = place_of_row[first : first + len(part)]
            places[: len(known)] = known
            first += len(part)
            batch = pa.record_batch({"place": places, "tokens": part}).sort_by("place")
            bounds = np.searchsorted(batch["place"].to_numpy(), np.arange(piles + 1) * ROWS_A_GROUP)
            for pile, (start, stop) in enumerate(itertools.pairwise(bounds)):
                if pile not in writers:
                    writers[pile] = files.enter_context(pa.ipc.new_file(str(scratch / f"{pile}.arrow"), batch.schema))
                writers[pile].write_batch(batch.slice(start, stop - start))
    for pile in range(piles):
        path = scratch / f"{pile}.arrow"
        with pa.OSFile(str(path)) as file:
            table = pa.ipc.open_file(file).read_all().sort_by("place")
        path.unlink()
        yield table["tokens"].combine_chunks()


def encode_download(downloaded: Path, settings: EncodeSettings, folder: Path) -> dict[str, int]:
    """Write train.parquet, test.parquet, vocabulary.json, encoding.json and words.json, what `WordCheck` counts.

    Ids and labels are equal to those of keras.datasets.imdb.load_data.

    Returns:
        How many reviews each split has, and how many words are known.

    Raises:
        DataError: a split lacks a label, or its words are beyond a limit.
    """
    ranked = read_ranked(downloaded)
    check_labels(ranked.labels)
    limit = limit_of(ranked, settings)
    rules = settings.model_dump(include={"skip_top", "start_char", "oov_char", "index_from"})
    rows = {split: len(labels) for split, labels in ranked.labels.items()}
    orders = shuffled_orders(rows, settings.shuffle_seed, settings.max_reviews)
    highest, words = 0, {}
    for split, order in orders.items():
        check = WordCheck(split, order, settings)
        ids = (ranks_to_ids(part, num_words=limit, **rules) for part in check.watch(ranked.parts[split](), limit))
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            highest = max(
                highest,
                write_encoded(
                    encoded_file(folder, split), reorder(ids, order, Path(scratch)), ranked.labels[split][order]
                ),
            )
        check.enforce(ranked.name_row)
        words[split] = check.summary()
    write_words(folder, words)
    write_encoding(folder, Encoding(vocabulary_size=max(settings.num_words or 0, highest + 1), **rules))
    write_vocabulary(folder, ranked.vocabulary)
    return {split: len(order) for split, order in orders.items()} | {"words": len(ranked.vocabulary)}


@task(
    cache_policy=BY_CONTENT,
    result_serializer="json",
    task_run_name="encode the {settings.num_words} most frequent words",
)
def encode(downloaded: Artifact, settings: EncodeSettings) -> Artifact:
    """Turn the words of every downloaded review into token ids."""
    path = Store(store_root()).path(downloaded)
    return keep(lambda folder: encode_download(path, settings, folder))
