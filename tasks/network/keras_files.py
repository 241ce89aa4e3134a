"""Models on disk and at work: .keras files that are equal byte for byte, dropout's seeds, and scoring in buckets."""

import contextlib
import faulthandler
import json
import random
import re
import sys
import threading
import unittest.mock
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.network.quiet_import import without_notices
from tasks.network.scoring import score_in_buckets
from tasks.texts.padded import Padded

# TensorFlow and Keras are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    import keras

MODEL = "model.keras"
READER = "reader"  # the part of a network that learns, where what it reads beside the words is given
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
STARTING = threading.Lock()
DRAWING = threading.Lock()


def start_tensorflow() -> None:
    """Import TensorFlow and find its devices, without the notices that it prints for its own developers.

    They are written by C++ before any log level is read, so they are caught where they come out. A crash in there, as
    on a processor that the build is not for, shows what Python was doing.
    """
    with STARTING:
        if "tensorflow" in sys.modules:
            return
        if not faulthandler.is_enabled():
            faulthandler.enable(2)
        with without_notices():
            import tensorflow as tf

            tf.config.list_logical_devices()


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model so that equal models give equal bytes: Keras's own file, without times and memory addresses."""
    raw = path.with_name(f".{path.stem}.raw.keras")
    try:
        model.save(raw)
        with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.infolist():
                content = source.read(entry)
                if entry.filename == "metadata.json":
                    content = json.dumps({**json.loads(content), "date_saved": ""}).encode()
                elif entry.filename == "config.json":
                    content = number_shared_objects(content.decode()).encode()
                target.writestr(zipfile.ZipInfo(entry.filename, ZIP_EPOCH), content)
    finally:
        raw.unlink(missing_ok=True)


def number_shared_objects(config: str) -> str:
    """Return a model's configuration with its shared objects numbered from 1, not by their memory addresses."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f'"shared_object_id": {numbers.setdefault(found[1], len(numbers) + 1)}'

    return re.sub(r'"shared_object_id": (\d+)', number, config)


def load_model(path: Path) -> "keras.Model":
    """Load a .keras file; one that brings code of its own, such as a Lambda layer, is refused by Keras."""
    start_tensorflow()
    import keras

    import tasks.network.custom_layers  # noqa: F401 - registers our own

    return keras.models.load_model(path, safe_mode=True)


def learner_of(model: "keras.Model") -> "keras.Model":
    """Return the part of a network that training fits: its reader, or all of a network that reads words alone."""
    return next((layer for layer in model.layers if layer.name == READER), model)


@contextlib.contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Let the first weights of the layers that are made within follow from a seed, whatever other threads draw.

    Keras seeds each layer by `random.randint`, from the stream that all threads of the process share: Prefect's and
    Dask's draw from it too. Within, this thread has a stream of its own, and draws what it would draw alone.
    """
    import keras

    own, here, shared = random.Random(seed), threading.get_ident(), random.randint

    def randint(low: int, high: int) -> int:
        return own.randint(low, high) if threading.get_ident() == here else shared(low, high)

    with DRAWING, unittest.mock.patch.object(random, "randint", randint):
        keras.utils.set_random_seed(seed)
        yield


def seed_dropout(model: "keras.Model", *numbers: int) -> None:
    """Set the state of every random generator in `model` from `numbers` and the generator's place.

    A .keras file does not keep that state. Set anew before each epoch, from the run's seed and the epoch, it
    makes training that goes on from a file equal to training that was never interrupted.
    """
    for place, state in enumerate(random_states(model)):
        state.assign(np.random.SeedSequence([*numbers, place]).generate_state(2, np.uint32))


def random_states(model: "keras.Model") -> list[Any]:
    """Return the state of every random generator in a model, those of recurrent cells too: (2,) uint32 variables."""
    # Keras counts a generator's state among a layer's variables, but not among its weights.
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


class Scorer:
    """A model ready to score: traced once, for batches of any length."""

    def __init__(self, model: "keras.Model", batch_size: int, *, bucketing: bool) -> None:
        """Make a scorer.

        Args:
            model: (rows, length) int32 -> (rows, 1) float32, or of more than two labels (rows, labels).
            batch_size: reviews a batch, at most.
            bucketing: False pads all to maxlen.
        """
        import tensorflow as tf

        signature = [tf.TensorSpec((None, None), tf.int32)]
        # Traced here and not at the first call: threads that all come first would each trace it.
        traced = tf.function(lambda tokens: model(tokens, training=False), input_signature=signature)
        self.score, self.tensor = traced.get_concrete_function(), tf.constant
        self.batch_size, self.bucketing, self.outputs = batch_size, bucketing, int(model.output_shape[-1])

    def run(self, tokens: np.ndarray) -> np.ndarray:
        """Return what the network gives a batch, (rows, length) int32."""
        found: np.ndarray = self.score(self.tensor(tokens)).numpy()
        return found

    def __call__(self, padded: Padded) -> np.ndarray:
        """Return the probabilities of each review, whatever the batch size.

        They are (n,) float32 of label 1 where there are two labels, and (n, labels) where there are more.
        """
        found = score_in_buckets(padded, self.run, self.batch_size, self.outputs, bucketing=self.bucketing)
        return found[:, 0] if self.outputs == 1 else found
