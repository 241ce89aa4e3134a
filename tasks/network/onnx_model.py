"""The ONNX model: a classifier's network for other runtimes than TensorFlow, its vocabulary and rules beside it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.network.classifier import KerasClassifier
from tasks.network.onnx_network import write_network
from tasks.network.scoring import NETWORK, OnnxScorer
from tasks.reviews.encoded import write_encoding, write_vocabulary


def write_onnx(classifier: KerasClassifier, folder: Path) -> None:
    """Write the network as `write_network` does, and beside it vocabulary and rules.

    The text's way to token ids stays outside: ONNX has no operator that replaces by a pattern.
    """
    write_network(classifier.network, classifier.facts.labels, folder / NETWORK)
    write_vocabulary(folder, classifier.vocabulary.to_pylist())
    write_encoding(folder, classifier.encoding)


def score_with_onnx(classifier: KerasClassifier, folder: Path, texts: pa.Array) -> np.ndarray:
    """Return the probabilities that ONNX Runtime gives each text, each at its own padded length."""
    network, facts = folder / NETWORK, classifier.facts
    score = OnnxScorer(network, len(facts.labels), 1, bucketing=facts.bucketing)
    return score(classifier.encode(texts)[0])
