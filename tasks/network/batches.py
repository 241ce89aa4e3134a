"""Batches: reviews of equal padded length as TensorFlow's datasets, for one device or dealt evenly to several."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.linear.phrase_files import PhraseReader
from tasks.texts.length_buckets import bucket_lengths, count_batches, cut_batch, plan_batches
from tasks.texts.padded import Padded, lengths_of, maxlen_of

# TensorFlow is imported inside the function that needs it: a cached run never pays for it.
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
        parts: reviews, one part in memory at a time.
        batch_size: reviews a batch, at most.
        bucketing: False pads all to maxlen.
        rng: shuffles the parts, and in each part rows and batches; None keeps them in order.
        phrases: gives the numbers beside the tokens, for networks whose reader is fitted.
        replicas: devices that take an equal share of each batch: `fill_up` says how.
        class_weight: of each label, where there are several replicas; one has Keras's own.

    Returns:
        A dataset of (rows, length) int32 tokens, with `phrases` a pair of these and (rows, length, width) float32
        numbers; and (rows, 1) float32 labels. For several replicas, (rows,) float32 weights too.
    """
    import tensorflow as tf

    order = np.arange(len(parts)) if rng is None else rng.permutation(len(parts))
    maxlen = maxlen_of(parts)
    firsts = np.cumsum([0, *map(len, lengths_of(parts))])
    filling = None if rng is not None or replicas == 1 else mean_filling(parts, batch_size, replicas, bucketing)

    def generate() -> Iterator[tuple[Any, ...]]:
        shuffling = copy.deepcopy(
            rng
        )  # where there are several devices, Keras looks at the first batch and begins again
        for place in order:
            part = parts[place]
            lengths = bucket_lengths(part.lengths, maxlen, bucketing=bucketing)
            for rows in plan_batches(lengths, batch_size, shuffling):
                weights = None
                if replicas > 1:
                    rows, weights = fill_up(rows, replicas, filling)
                    if class_weight:
                        weights *= [class_weight[int(label)] for label in part.labels[rows]]
                tokens = cut_batch(part.tokens, rows, lengths[rows[0]], part.padding)
                read = tokens if phrases is None else (tokens, phrases(tokens, firsts[place] + rows))
                labels = part.labels[rows, None].astype(np.float32)
                yield (read, labels) if weights is None else (read, labels, weights)

    # The signature is explicit: Keras would infer a fixed length from the first batches.
    signature: Any = tf.TensorSpec((None, None), tf.int32)
    if phrases is not None:
        signature = signature, tf.TensorSpec((None, None, phrases.width), tf.float32)
    signature = signature, tf.TensorSpec((None, 1), tf.float32)
    if replicas > 1:
        signature = *signature, tf.TensorSpec((None,), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    # And so is the number of batches: Keras would warn that the data ran out.
    count = batches_an_epoch(parts, batch_size, bucketing=bucketing)
    options = tf.data.Options()
    # Its tuner has nothing to tune here, yet in every other epoch it leaves the two directions of the recurrent
    # layer a single processor between them, and the epoch takes 1.7 times as long (docs/performance.md).
    options.autotune.enabled = False
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def batches_an_epoch(parts: Sequence[Padded], batch_size: int, *, bucketing: bool) -> int:
    """Return how many batches `bucketed_dataset` gives."""
    maxlen = maxlen_of(parts)
    padded_lengths = (bucket_lengths(lengths, maxlen, bucketing=bucketing) for lengths in lengths_of(parts))
    return sum(count_batches(lengths, batch_size) for lengths in padded_lengths)


def fill_up(rows: np.ndarray, replicas: int, filling: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Repeat rows of a batch until each replica can have as many, with weights that make up for it.

    TensorFlow gives the last replica what the others leave, which may be nothing, and Keras takes the mean of the
    replicas' means, whatever each had. With equal shares and these weights it is the mean over the batch's own rows.

    Args:
        rows: (n,) row numbers.
        replicas: how many there are.
        filling: what the weights of a whole add up to, over its rows, so that sums over batches come out right; None
            makes each batch's own mean right.

    Returns:
        (m,) row numbers, m the next multiple of `replicas`, and (m,) float32 weights.
    """
    count = -(-len(rows) // replicas) * replicas
    places = np.resize(np.arange(len(rows)), count)
    weights = (count / len(rows) if filling is None else filling) / np.bincount(places)[places]
    return rows[places], weights.astype(np.float32)


def mean_filling(parts: Sequence[Padded], batch_size: int, replicas: int, bucketing: bool) -> float:
    """Return how many rows all batches have once they are filled up, over how many they have before."""
    maxlen, rows, filled = maxlen_of(parts), 0, 0
    for lengths in lengths_of(parts):
        sizes = [len(rows) for rows in plan_batches(bucket_lengths(lengths, maxlen, bucketing=bucketing), batch_size)]
        rows += sum(sizes)
        filled += sum(-(-size // replicas) * replicas for size in sizes)
    return filled / rows
