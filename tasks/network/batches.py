"""Batches: texts of equal padded length as TensorFlow datasets, for one device or shared evenly by several."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.linear.phrase_files import PhraseReader
from tasks.texts.length_buckets import bucket_lengths, count_batches, cut_batch, plan_batches
from tasks.texts.padded import Padded, lengths_of, maxlen_of

if TYPE_CHECKING:
    import tensorflow as tf


def bucketed_dataset(
    parts: Sequence[Padded],
    batch_size: int,
    *,
    bucketing: bool,
    rng: np.random.Generator | None = None,
    phrases: PhraseReader | None = None,
    replicas: int = 1,
    class_weight: Mapping[int, float] | None = None,
) -> "tf.data.Dataset":
    """Return batches of equal padded length as a dataset.

    Args:
        parts: texts; one part is in memory at a time.
        batch_size: texts per batch, at most.
        bucketing: False pads all texts to maxlen.
        rng: shuffles the parts, and in each part rows and batches; None keeps their order.
        phrases: adds the numbers of phrases to the tokens, for networks that read phrases.
        replicas: devices that share each batch equally, see `fill_up`.
        class_weight: weight of each label, for several replicas; with one, Keras applies its own.

    Returns:
        (rows, length) int32 tokens, with `phrases` a pair of these and (rows, length, width) float32 numbers; and
        (rows, 1) float32 labels. For several replicas also (rows,) float32 weights.
    """
    import tensorflow as tf

    order = np.arange(len(parts)) if rng is None else rng.permutation(len(parts))
    maxlen = maxlen_of(parts)
    firsts = np.cumsum([0, *map(len, lengths_of(parts))])
    filling = None if rng is not None or replicas == 1 else mean_filling(parts, batch_size, replicas, bucketing)

    def generate() -> Iterator[tuple[Any, ...]]:
        shuffling = copy.deepcopy(rng)  # with several devices, Keras reads the first batch and starts again
        for number in order:
            part = parts[number]
            lengths = bucket_lengths(part.lengths, maxlen, bucketing=bucketing)
            for rows in plan_batches(lengths, batch_size, shuffling):
                weights = None
                if replicas > 1:
                    rows, weights = fill_up(rows, replicas, filling)
                    if class_weight:
                        weights *= [class_weight[int(label)] for label in part.labels[rows]]
                tokens = cut_batch(part.tokens, rows, lengths[rows[0]], part.padding)
                inputs = tokens if phrases is None else (tokens, phrases(tokens, firsts[number] + rows))
                labels = part.labels[rows, None].astype(np.float32)
                yield (inputs, labels) if weights is None else (inputs, labels, weights)

    # The signature is explicit: Keras would infer a fixed length from the first batches.
    signature: Any = tf.TensorSpec((None, None), tf.int32)
    if phrases is not None:
        signature = signature, tf.TensorSpec((None, None, phrases.width), tf.float32)
    signature = signature, tf.TensorSpec((None, 1), tf.float32)
    if replicas > 1:
        signature = *signature, tf.TensorSpec((None,), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    # So is the number of batches: Keras would warn that the data ran out.
    count = batches_an_epoch(parts, batch_size, bucketing=bucketing)
    options = tf.data.Options()
    # The tuner has nothing to tune, but in every other epoch it gives both directions of the recurrent layer one
    # processor, and the epoch takes 1.7 times as long (benchmarks/performance-notes.md).
    options.autotune.enabled = False
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def batches_an_epoch(parts: Sequence[Padded], batch_size: int, *, bucketing: bool) -> int:
    """Return the number of batches in `bucketed_dataset`."""
    maxlen = maxlen_of(parts)
    padded_lengths = (bucket_lengths(lengths, maxlen, bucketing=bucketing) for lengths in lengths_of(parts))
    return sum(count_batches(lengths, batch_size) for lengths in padded_lengths)


def fill_up(rows: np.ndarray, replicas: int, filling: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Repeat rows of a batch until all replicas get the same number, with weights that compensate.

    TensorFlow gives the last replica the rest, which may be empty, and Keras averages the replicas' means without
    weights. With equal shares and these weights that is the mean over the batch's original rows.

    Args:
        rows: (n,) row numbers.
        replicas: number of devices.
        filling: total weight of each original row; that of `mean_filling` makes sums over batches right, None makes the
            mean of each batch right.

    Returns:
        (m,) row numbers, m the next multiple of `replicas`, and (m,) float32 weights.
    """
    count = -(-len(rows) // replicas) * replicas
    repeated = np.resize(np.arange(len(rows)), count)
    weights = (count / len(rows) if filling is None else filling) / np.bincount(repeated)[repeated]
    return rows[repeated], weights.astype(np.float32)


def mean_filling(parts: Sequence[Padded], batch_size: int, replicas: int, bucketing: bool) -> float:
    """Return the number of rows in all batches after `fill_up`, divided by the number before."""
    maxlen, rows, filled = maxlen_of(parts), 0, 0
    for lengths in lengths_of(parts):
        sizes = [len(rows) for rows in plan_batches(bucket_lengths(lengths, maxlen, bucketing=bucketing), batch_size)]
        rows += sum(sizes)
        filled += sum(-(-size // replicas) * replicas for size in sizes)
    return filled / rows
