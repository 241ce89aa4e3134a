"""Export: the classifier as a SavedModel from text to probability, which needs nothing but TensorFlow."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.core.buckets import BUCKET_WIDTH
from tasks.core.classifier import FACTS, Classifier, load_classifier
from tasks.core.environment import store_root
from tasks.core.errors import ModelError
from tasks.core.settings import ExportSettings
from tasks.core.store import naming_the_place, written_whole
from tasks.core.text import FILTERED

# TensorFlow is imported inside the functions that need it: other steps never pay for it.
if TYPE_CHECKING:
    import tensorflow as tf

PROBES = ("a wonderful film, one of the best", "Dull; I left.", "", "it's " * 600)
TOLERANCE = 1e-6


def encode_in_graph(classifier: Classifier) -> Any:
    """Return a function of (n,) strings to ragged int32 token ids (n, up to maxlen), by the classifier's own rules."""
    import tensorflow as tf

    rules, facts = classifier.encoding, classifier.facts
    words = tf.constant(classifier.vocabulary.to_pylist())
    ranks = tf.range(1, len(classifier.vocabulary) + 1, dtype=tf.int32)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, ranks), default_value=0)
    largest = rules.vocabulary_size

    def encode(texts: "tf.Tensor") -> "tf.RaggedTensor":
        spaced = tf.strings.regex_replace(tf.strings.lower(texts, encoding="utf-8"), FILTERED, " ")
        found = tf.ragged.map_flat_values(table.lookup, tf.strings.split(spaced, sep=" "))
        ids = tf.ragged.boolean_mask(found, found > 0) + rules.index_from
        if rules.start_char is not None:
            starts = tf.fill([tf.shape(texts)[0], 1], rules.start_char)
            ids = tf.concat([starts, ids], axis=1)
        is_kept = tf.logical_and(ids >= rules.skip_top, ids < largest)
        if rules.oov_char is None:
            ids = tf.ragged.boolean_mask(ids, is_kept)
        else:
            ids = ids.with_flat_values(tf.where(is_kept.flat_values, ids.flat_values, rules.oov_char))
        maxlen = facts["maxlen"]
        return ids[:, -maxlen:] if facts["truncating"] == "pre" else ids[:, :maxlen]

    return encode, table


def make_module(classifier: Classifier) -> "tf.Module":
    """Return a module whose `serve` takes (n,) strings and returns {"probability": (n,) float32}.

    Each review is scored at its own padded length, as everywhere in this pipeline, so its score is its own.
    """
    import tensorflow as tf

    encode, table = encode_in_graph(classifier)
    network, facts = classifier.network, classifier.facts
    maxlen, bucketing = facts["maxlen"], facts["bucketing"]

    def serve(texts: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        ids = encode(texts)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        rounded = -(-lengths // BUCKET_WIDTH) * BUCKET_WIDTH
        narrowest = min(BUCKET_WIDTH, maxlen)
        padded_lengths = tf.clip_by_value(rounded, narrowest if bucketing else maxlen, maxlen)
        right = ids.to_tensor(shape=(None, maxlen))
        if facts["padding"] == "pre":
            # Each row is turned round by what it lacks: the words come to stand at its end.
            columns = (tf.range(maxlen)[None, :] - (maxlen - lengths)[:, None]) % maxlen
            right = tf.gather(right, columns, batch_dims=1)
        buckets, _places = tf.unique(padded_lengths)

        def score_bucket(number: "tf.Tensor", scores: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            length = buckets[number]
            rows = tf.cast(tf.where(padded_lengths == length), tf.int32)
            tokens = tf.gather(right, rows[:, 0])
            tokens = tokens[:, maxlen - length :] if facts["padding"] == "pre" else tokens[:, :length]
            scored = network(tokens, training=False)[:, 0]
            return number + 1, tf.tensor_scatter_nd_update(scores, rows, scored)

        _number, probability = tf.while_loop(
            lambda number, _scores: number < tf.size(buckets),
            score_bucket,
            (tf.constant(0), tf.zeros_like(lengths, tf.float32)),
            parallel_iterations=1,
        )
        return {"probability": probability}

    signature = [tf.TensorSpec((None,), tf.string, name="text")]
    module = tf.Module(name="classifier")
    # Plain TensorFlow variables and the table: whoever loads the module needs no Keras.
    module.weights = [variable.value for variable in network.variables]
    module.table, module.serve = table, tf.function(serve, input_signature=signature)
    return module


def export_classifier(classifier: Classifier, output: Path) -> float:
    """Write a SavedModel and classifier.json to `output`, and return how far its scores are from the classifier's.

    Raises:
        ModelError: they are further apart than 1e-6, or something stands there already; nothing is left behind.
    """
    import tensorflow as tf

    if output.exists():
        raise ModelError(f"{output}: exists already; name a new folder with --output")

    with naming_the_place(output), written_whole(output) as draft:
        module = make_module(classifier)
        tf.saved_model.save(module, str(draft), signatures={"serving_default": module.serve})
        about = classifier.facts | {"model": classifier.name}
        (draft / FACTS).write_text(json.dumps(about, indent=1))
        served = tf.saved_model.load(str(draft)).signatures["serving_default"](text=tf.constant(PROBES))
        gap = float(np.abs(served["probability"].numpy() - classifier.predict(pa.array(PROBES))).max())
        if gap > TOLERANCE:
            raise ModelError(f"{output}: the exported model's scores differ by {gap:.2g}; it is not kept")
    return gap


@task(cache_policy=NO_CACHE, task_run_name="export")
def export(settings: ExportSettings, uri: str | None) -> dict[str, Any]:
    """Write the champion, or the model that is named, as a SavedModel."""
    output = Path(settings.output).expanduser().absolute()
    with tempfile.TemporaryDirectory() as scratch:
        classifier = load_classifier(settings.model, settings.registered_model, uri, store_root(), Path(scratch))
    gap = export_classifier(classifier, output)
    get_run_logger().info("%s: %s; scores differ by %.1g from predict_flow's", output, classifier.name, gap)
    return {"model": classifier.name, "output": str(output)}
