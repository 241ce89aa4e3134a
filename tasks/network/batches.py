"""Batches: texts of equal padded length as TensorFlow datasets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.linear.phrase_tables import PhraseReader
from tasks.texts.padded import PaddedFile, bucket_lengths, cut_batch, plan_batches

if TYPE_CHECKING:
    import tensorflow as tf


def bucketed_dataset(
    parts: PaddedFile,
    batch_size: int,
    *,
    bucketing: bool,
    rng: np.random.Generator | None = None,
    phrases: PhraseReader | None = None,
    passes: int = 1,
) -> "tf.data.Dataset":
    """Return batches of equal padded length as a dataset.

    Args:
        parts: texts; one part is in memory at a time.
        batch_size: texts per batch, at most.
        bucketing: False pads all texts to maxlen.
        rng: shuffles the parts, and in each part rows and batches; None keeps their order.
        phrases: adds the numbers of phrases to the tokens, for networks that read phrases.
        passes: how often the texts are read, in another order each time.

    Returns:
        (rows, length) int32 tokens, with `phrases` a pair of these and (rows, length, width) float32 numbers; and
        (rows, 1) float32 labels.
    """
    import tensorflow as tf

    order = np.concatenate(
        [np.arange(len(parts)) if rng is None else rng.permutation(len(parts)) for _ in range(passes)]
    )
    firsts = np.cumsum([0, *map(len, parts.column("length"))])

    def generate() -> Iterator[tuple[Any, ...]]:
        for number in order:
            part = parts[number]
            lengths = bucket_lengths(part.lengths, parts.maxlen, bucketing=bucketing)
            for rows in plan_batches(lengths, batch_size, rng):
                tokens = cut_batch(part.tokens, rows, lengths[rows[0]], part.padding)
                inputs = tokens if phrases is None else (tokens, phrases(tokens, firsts[number] + rows))
                yield inputs, part.labels[rows, None].astype(np.float32)

    # The signature is explicit: Keras would infer a fixed length from the first batches.
    signature: Any = tf.TensorSpec((None, None), tf.int32)
    if phrases is not None:
        signature = signature, tf.TensorSpec((None, None, phrases.width), tf.float32)
    signature = signature, tf.TensorSpec((None, 1), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    # So is the number of batches: Keras would warn that the data ran out.
    count = passes * batches_an_epoch(parts, batch_size, bucketing=bucketing)
    options = tf.data.Options()
    # The tuner has nothing to tune, but in every other epoch it gives both directions of the recurrent layer one
    # processor, and the epoch takes 1.7 times as long (benchmarks/performance-notes.md).
    options.autotune.enabled = False
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def batches_an_epoch(parts: PaddedFile, batch_size: int, *, bucketing: bool) -> int:
    """Return the number of batches in one pass of `bucketed_dataset`."""
    columns = parts.column("length")
    padded_lengths = (bucket_lengths(lengths, parts.maxlen, bucketing=bucketing) for lengths in columns)
    return sum(len(plan_batches(lengths, batch_size)) for lengths in padded_lengths)
