"""Scoring with TensorFlow: the reference for ONNX Runtime's scores and for exports."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.network import bundle
from tasks.network.bundle import KerasClassifier
from tasks.network.scoring import Scorer

if TYPE_CHECKING:
    import keras


def keras_scorer(model: "keras.Model", batch_size: int, *, bucketing: bool) -> Scorer:
    """Trace a network once, for batches of any length, and score with TensorFlow."""
    import tensorflow as tf

    # Traced here and not in the first call: several threads that call at once would each trace it.
    signature = [tf.TensorSpec((None, None), tf.int32)]
    traced = tf.function(lambda tokens: model(tokens, training=False), input_signature=signature)
    score = traced.get_concrete_function()

    def run(tokens: np.ndarray) -> np.ndarray:
        return np.asarray(score(tf.constant(tokens)))

    return Scorer(run, int(model.output_shape[-1]), batch_size, bucketing)


def open_keras(name: str, folder: Path, registered_model: str | None = None) -> KerasClassifier:
    """Open a bundle like `bundle.open_keras`, but score with TensorFlow."""
    opened = bundle.open_keras(name, folder, registered_model)
    score = keras_scorer(opened.network, 256, bucketing=opened.facts.bucketing)
    return dataclasses.replace(opened, score=score)
