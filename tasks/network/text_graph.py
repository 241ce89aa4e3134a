"""The text's way to token ids as a TensorFlow graph, by the same rule and the same table as everywhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tasks.reviews.tokenising import MARKED, PARTED, RULES, TABLE, accent_ranks, letter_table

# TensorFlow is imported inside the functions that need it: other steps never pay for it.
if TYPE_CHECKING:
    import tensorflow as tf


def tokenise_in_graph(rule: str) -> Callable[["tf.Tensor"], "tf.RaggedTensor"]:
    """Return a function of (n,) strings to their words (n, any), by the rule that has the name.

    Its words are those of `tokenising.tokenise`, and empty ones.
    """
    import tensorflow as tf

    offsets, written = letter_table(rule)
    is_decomposed = RULES[rule].is_decomposed
    ranks = accent_ranks() if is_decomposed else np.zeros(0, np.int32)

    def respell(texts: "tf.Tensor") -> "tf.RaggedTensor":
        points = tf.strings.unicode_decode(texts, "UTF-8")
        rows = tf.minimum(points.flat_values, TABLE)
        first, stop = tf.gather(offsets, rows), tf.gather(offsets, rows + 1)
        new = tf.gather(written, tf.ragged.range(first, stop))
        itself = tf.repeat(points.flat_values, new.row_lengths())
        new = new.with_flat_values(tf.where(new.flat_values < 0, itself, new.flat_values))
        return points.with_values(new).merge_dims(1, 2)

    def order_accents(points: "tf.RaggedTensor") -> "tf.RaggedTensor":
        """Sort the accents of each letter by class: the one thing that decomposition does not do letter by letter."""
        flat = points.flat_values
        its_ranks = tf.cast(tf.gather(ranks, tf.minimum(flat, len(ranks) - 1)), tf.int64)
        letters = tf.cumsum(tf.cast(its_ranks == 0, tf.int64)) + points.value_rowids()
        return points.with_flat_values(tf.gather(flat, tf.argsort(letters * len(ranks) + its_ranks, stable=True)))

    def tokenise(texts: "tf.Tensor") -> "tf.RaggedTensor":
        points = respell(texts)
        if is_decomposed:
            points = order_accents(points)
        spaced = tf.strings.unicode_encode(points, "UTF-8")
        if is_decomposed:
            spaced = tf.strings.regex_replace(spaced, MARKED, PARTED)
        return tf.strings.split(spaced, sep=" ")

    return tokenise
