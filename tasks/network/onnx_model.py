"""The ONNX model: a classifier's network for other runtimes than TensorFlow, its vocabulary and rules beside it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.network.classifier import Classifier
from tasks.reviews.buckets import bucket_lengths, cut_batch
from tasks.reviews.encoded import write_encoding, write_vocabulary

# TensorFlow, tf2onnx and ONNX Runtime are imported inside the functions that need them: others never pay for them.

NETWORK = "model.onnx"
OPSET = 18  # of ONNX 1.13, of December 2022: what runtimes of the last years read


def write_onnx(classifier: Classifier, folder: Path) -> None:
    """Write the network as (batch, length) int32 `tokens` to (batch,) float32 `probability`, vocabulary and rules.

    The text's way to token ids stays outside: ONNX has no operator that replaces by a pattern.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, None), tf.int32, name="tokens")]
    function = tf.function(lambda tokens: classifier.network(tokens, training=False)[:, 0], input_signature=signature)
    model, _files = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["probability" if name == output.name else name for name in node.output]
    output.name = "probability"
    onnx.checker.check_model(model)
    onnx.save_model(model, folder / NETWORK)
    write_vocabulary(folder, classifier.vocabulary.to_pylist())
    write_encoding(folder, classifier.encoding)


def score_with_onnx(classifier: Classifier, folder: Path, texts: pa.Array) -> np.ndarray:
    """Return the probability that ONNX Runtime gives each text, each at its own padded length: (n,) float32."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / NETWORK)
    reviews, _words = classifier.encode(texts)
    lengths = bucket_lengths(reviews.lengths, reviews.tokens.shape[1], bucketing=classifier.facts.bucketing)
    batches = (
        cut_batch(reviews.tokens, np.array([row]), length, reviews.padding) for row, length in enumerate(lengths)
    )
    return np.concatenate([session.run(["probability"], {"tokens": tokens})[0] for tokens in batches])
