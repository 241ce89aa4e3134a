"""The ONNX model: a classifier's network for other runtimes than TensorFlow, its vocabulary and rules beside it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.network.classifier import Classifier
from tasks.reviews.buckets import bucket_lengths, cut_batch
from tasks.reviews.encoded import write_encoding, write_vocabulary

# TensorFlow, tf2onnx and ONNX Runtime are imported inside the functions that need them: others never pay for them.

if TYPE_CHECKING:
    import tensorflow as tf

NETWORK = "model.onnx"
OPSET = 18  # of ONNX 1.13, of December 2022: what runtimes of the last years read


def write_onnx(classifier: Classifier, folder: Path) -> None:
    """Write the network from (batch, length) int32 `tokens` to probabilities, and beside it vocabulary and rules.

    Of two labels they are (batch,) float32 `probability` of label 1; of more (batch, labels) float32 `probabilities`.
    The model's metadata has the names of the labels, as JSON.

    The text's way to token ids stays outside: ONNX has no operator that replaces by a pattern.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, None), tf.int32, name="tokens")]
    is_single = classifier.score.outputs == 1
    named = "probability" if is_single else "probabilities"

    def score(tokens: "tf.Tensor") -> "tf.Tensor":
        scores = classifier.network(tokens, training=False)
        return scores[:, 0] if is_single else scores

    function = tf.function(score, input_signature=signature)
    model, _files = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = [named if name == output.name else name for name in node.output]
    output.name = named
    onnx.helper.set_model_props(model, {"labels": json.dumps(classifier.facts.labels)})
    onnx.checker.check_model(model)
    onnx.save_model(model, folder / NETWORK)
    write_vocabulary(folder, classifier.vocabulary.to_pylist())
    write_encoding(folder, classifier.encoding)


def score_with_onnx(classifier: Classifier, folder: Path, texts: pa.Array) -> np.ndarray:
    """Return the probabilities that ONNX Runtime gives each text, each at its own padded length."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / NETWORK)
    reviews, _words = classifier.encode(texts)
    lengths = bucket_lengths(reviews.lengths, reviews.tokens.shape[1], bucketing=classifier.facts.bucketing)
    batches = (
        cut_batch(reviews.tokens, np.array([row]), length, reviews.padding) for row, length in enumerate(lengths)
    )
    return np.concatenate([session.run(None, {"tokens": tokens})[0] for tokens in batches])
