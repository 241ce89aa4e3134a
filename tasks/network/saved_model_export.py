"""The SavedModel: a classifier as one TensorFlow graph from text to probability, for use without this project."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tasks.network.bundle import KerasClassifier
from tasks.texts.padded import BUCKET_WIDTH, head_of
from tasks.texts.tokenising import ISOLATED, MARKED, TABLE, accent_ranks, letter_table

if TYPE_CHECKING:
    import tensorflow as tf


def tokenise_in_graph(rule: str) -> Callable[["tf.Tensor"], "tf.RaggedTensor"]:
    """Return a function from (n,) strings to (n, any) words: those of `tokenising.tokenise`, and empty ones."""
    import tensorflow as tf

    offsets, replacements = letter_table(rule)
    is_decomposed = rule == "unicode"
    ranks = accent_ranks() if is_decomposed else np.zeros(0, np.int32)

    def respell(texts: "tf.Tensor") -> "tf.RaggedTensor":
        points = tf.strings.unicode_decode(texts, "UTF-8")
        rows = tf.minimum(points.flat_values, TABLE)
        first, stop = tf.gather(offsets, rows), tf.gather(offsets, rows + 1)
        new = tf.gather(replacements, tf.ragged.range(first, stop))
        unchanged = tf.repeat(points.flat_values, new.row_lengths())
        new = new.with_flat_values(tf.where(new.flat_values < 0, unchanged, new.flat_values))
        return points.with_values(new).merge_dims(1, 2)

    def order_accents(points: "tf.RaggedTensor") -> "tf.RaggedTensor":
        """Sort the accents of each letter by class, which `respell` cannot do because it sees one letter at a time."""
        flat = points.flat_values
        accents = tf.cast(tf.gather(ranks, tf.minimum(flat, len(ranks) - 1)), tf.int64)
        letters = tf.cumsum(tf.cast(accents == 0, tf.int64)) + points.value_rowids()
        return points.with_flat_values(tf.gather(flat, tf.argsort(letters * len(ranks) + accents, stable=True)))

    def tokenise(texts: "tf.Tensor") -> "tf.RaggedTensor":
        points = respell(texts)
        if is_decomposed:
            points = order_accents(points)
        spaced = tf.strings.unicode_encode(points, "UTF-8")
        if is_decomposed:
            spaced = tf.strings.regex_replace(spaced, MARKED, ISOLATED)
        return tf.strings.split(spaced, sep=" ")

    return tokenise


def write_saved_model(classifier: KerasClassifier, folder: Path) -> None:
    """Write a SavedModel into `folder`, with a signature for TensorFlow Serving."""
    import tensorflow as tf

    module = make_module(classifier)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})


def score_with_saved_model(folder: Path, texts: pa.Array) -> np.ndarray:
    """Return the probabilities that the SavedModel in `folder` gives each text, as `Classifier.predict` does."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    outputs = serve(text=tf.constant(texts.to_pylist()))
    (probabilities,) = (outputs[name].numpy() for name in ("probability", "probabilities") if name in outputs)
    return np.asarray(probabilities)


def encode_in_graph(classifier: KerasClassifier) -> Any:
    """Return a function from (n,) strings to ragged (n, up to maxlen) int32 token ids, and its vocabulary table."""
    import tensorflow as tf

    rules, facts = classifier.encoding, classifier.facts
    tokenise = tokenise_in_graph(rules.tokenisation)
    words = tf.constant(classifier.vocabulary.to_pylist())
    numbers = tf.range(1, len(classifier.vocabulary) + 1, dtype=tf.int32)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, numbers), default_value=0)
    largest, maxlen = rules.vocabulary_size, facts.maxlen
    head = head_of(maxlen, facts.truncating)

    def encode(texts: "tf.Tensor") -> "tf.RaggedTensor":
        ranks = tf.ragged.map_flat_values(table.lookup, tokenise(texts))
        ids = tf.ragged.boolean_mask(ranks, ranks > 0) + rules.index_from
        if rules.start_char is not None:
            starts = tf.fill([tf.shape(texts)[0], 1], rules.start_char)
            ids = tf.concat([starts, ids], axis=1)
        is_kept = tf.logical_and(ids >= rules.skip_top, ids < largest)
        if rules.oov_char is None:
            ids = tf.ragged.boolean_mask(ids, is_kept)
        else:
            ids = ids.with_flat_values(tf.where(is_kept.flat_values, ids.flat_values, rules.oov_char))
        if head == maxlen:  # without a tail the slice below would start at -0 and take everything
            return ids[:, :maxlen]
        return tf.concat([ids[:, :head], ids[:, head:][:, head - maxlen :]], axis=1)

    return encode, table


def make_module(classifier: KerasClassifier) -> "tf.Module":
    """Return a module whose `serve` takes (n,) strings and scores each at its own padded length.

    With two labels it returns {"probability": (n,) float32 of label 1}, with more {"probabilities": (n, labels)
    float32, "label": (n,) strings, the predicted label}; and "answered", (n,) bool, if the classifier may leave
    texts unanswered.
    """
    import tensorflow as tf

    encode, table = encode_in_graph(classifier)
    network, facts = classifier.network, classifier.facts
    maxlen, narrowest = facts.maxlen, min(BUCKET_WIDTH, facts.maxlen) if facts.bucketing else facts.maxlen
    outputs, names = int(network.output_shape[-1]), tf.constant(facts.labels)

    def serve(texts: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        ids = encode(texts)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        rounded = -(-lengths // BUCKET_WIDTH) * BUCKET_WIDTH
        padded_lengths = tf.clip_by_value(rounded, narrowest, maxlen)
        right = ids.to_tensor(shape=(None, maxlen))
        if facts.padding == "pre":
            # Rotate each row so that its words are at the end.
            columns = (tf.range(maxlen)[None, :] - (maxlen - lengths)[:, None]) % maxlen
            right = tf.gather(right, columns, batch_dims=1)
        scores = tf.zeros((tf.size(lengths), outputs))
        for length in tf.unique(padded_lengths)[0]:
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            rows = tf.cast(tf.where(padded_lengths == length), tf.int32)
            tokens = tf.gather(right, rows[:, 0])
            tokens = tokens[:, maxlen - length :] if facts.padding == "pre" else tokens[:, :length]
            scores = tf.tensor_scatter_nd_update(scores, rows, network(tokens, training=False))
        if outputs == 1:
            positive = scores[:, 0]
            confidence = tf.where(positive >= facts.threshold, positive, 1 - positive)
            verdicts = {"probability": positive}
        else:
            benefits = scores if facts.costs is None else -scores @ tf.transpose(tf.constant(facts.costs, tf.float32))
            chosen = tf.argmax(benefits, axis=1)
            confidence = tf.gather(scores, chosen, batch_dims=1)
            verdicts = {"probabilities": scores, "label": tf.gather(names, chosen)}
        if facts.confidence_threshold is not None:
            verdicts["answered"] = confidence > facts.confidence_threshold
        return verdicts

    signature = [tf.TensorSpec((None,), tf.string, name="text")]
    module = tf.Module(name="classifier")
    # Plain TensorFlow variables and the table: loading the module does not need Keras.
    module.weights = [variable.value for variable in network.variables]
    module.table, module.serve = table, tf.function(serve, input_signature=signature)
    return module
