"""Models on disk and at work: .keras files that are equal byte for byte, dropout's seeds, and scoring in buckets."""

import faulthandler
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.network.notices import without_notices
from tasks.network.scoring import score_in_buckets
from tasks.reviews.buckets import bucket_lengths, count_batches, cut_batch, plan_batches
from tasks.reviews.padded import Padded, lengths_of, maxlen_of
from tasks.reviews.phrase_tables import PhraseReader

# TensorFlow and Keras are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    import keras
    import tensorflow as tf

MODEL = "model.keras"
READER = "reader"  # the part of a network that learns, where what it reads beside the words is given
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def start_tensorflow() -> None:
    """Import TensorFlow and find its devices, without the notices that it prints for its own developers.

    They are written by C++ before any log level is read, so they are caught where they come out. A crash in there, as
    on a processor that the build is not for, shows what Python was doing.
    """
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

    import tasks.network.layers  # noqa: F401 - registers our own

    return keras.models.load_model(path, safe_mode=True)


def learner_of(model: "keras.Model") -> "keras.Model":
    """Return the part of a network that training fits: its reader, or all of a network that reads words alone."""
    return next((layer for layer in model.layers if layer.name == READER), model)


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


def bucketed_dataset(
    parts: Sequence[Padded],
    batch_size: int,
    *,
    bucketing: bool,
    rng: np.random.Generator | None = None,
    phrases: PhraseReader | None = None,
) -> "tf.data.Dataset":
    """Return batches of equal padded length as a dataset.

    Args:
        parts: reviews, one part in memory at a time.
        batch_size: reviews a batch, at most.
        bucketing: False pads all to maxlen.
        rng: shuffles the parts, and in each part rows and batches; None keeps them in order.
        phrases: gives the numbers beside the tokens, for networks whose reader is fitted.

    Returns:
        A dataset of (rows, length) int32 tokens, with `phrases` a pair of these and (rows, length, width) float32
        numbers; and (rows, 1) float32 labels.
    """
    import tensorflow as tf

    order = np.arange(len(parts)) if rng is None else rng.permutation(len(parts))
    maxlen = maxlen_of(parts)

    firsts = np.cumsum([0, *map(len, lengths_of(parts))])

    def generate() -> Iterator[tuple[Any, np.ndarray]]:
        for place in order:
            part = parts[place]
            lengths = bucket_lengths(part.lengths, maxlen, bucketing=bucketing)
            for rows in plan_batches(lengths, batch_size, rng):
                tokens = cut_batch(part.tokens, rows, lengths[rows[0]], part.padding)
                read = tokens if phrases is None else (tokens, phrases(tokens, firsts[place] + rows))
                yield read, part.labels[rows, None].astype(np.float32)

    # The signature is explicit: Keras would infer a fixed length from the first batches.
    signature: Any = tf.TensorSpec((None, None), tf.int32)
    if phrases is not None:
        signature = signature, tf.TensorSpec((None, None, phrases.width), tf.float32)
    signature = signature, tf.TensorSpec((None, 1), tf.float32)
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
