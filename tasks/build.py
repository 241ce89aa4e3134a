"""Build: the network, layer by layer, with its initial weights."""

import contextlib
import random
import threading
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.run_settings import ModelSettings
from tasks.linear.phrase_tables import LONGEST, VECTORS, read_table
from tasks.network.keras_files import MODEL, READER, save_model
from tasks.network.tensorflow_setup import start_tensorflow
from tasks.store.step import step
from tasks.texts.padded import PaddedFile, padded_file

if TYPE_CHECKING:
    import keras

NAME = "recurrent_classifier"
DRAWING = threading.Lock()


@contextlib.contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Make the first weights of layers that are created inside depend on the seed alone.

    Keras seeds each layer with `random.randint`, whose stream all threads share, Prefect's and Dask's included. Inside,
    this thread draws from its own stream.
    """
    import keras

    own, here, shared = random.Random(seed), threading.get_ident(), random.randint

    def randint(low: int, high: int) -> int:
        return own.randint(low, high) if threading.get_ident() == here else shared(low, high)

    with DRAWING, unittest.mock.patch.object(random, "randint", randint):
        keras.utils.set_random_seed(seed)
        yield


def make_model(
    settings: ModelSettings, vocabulary_size: int, labels: int = 2, learned: Path | None = None
) -> "keras.Model":
    """Return the network with seeded weights, not compiled.

    Args:
        settings: the defaults give the case study's: Embedding, Bidirectional(LSTM), Flatten, Dense, Dropout, Dense.
        vocabulary_size: rows of the embedding.
        learned: the folder of the step `phrases`, for networks that read phrases or word vectors.

    Returns:
        (batch, length) int32 token ids -> with two labels (batch, 1) float32 probability of label 1, with more
        (batch, labels) float32 probabilities that add up to 1. `length` may differ from batch to batch.
    """
    start_tensorflow()
    import keras

    with seeded_weights(settings.seed):
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        vectors = embed(tokens, settings, vocabulary_size, learned)
        if not settings.phrases:
            return keras.Model(tokens, classify(vectors, settings, labels), name=NAME)
        # Training fits the reader: it gives each text numbers that were learned from the other texts only.
        layer = phrase_layer(require(learned), vocabulary_size)
        numbers = keras.Input((None, layer.width), dtype="float32", name="numbers")
        inputs = numbers
        if vectors is not None:
            inputs = keras.layers.Concatenate(name="words_and_numbers")([vectors, numbers])
        reader = keras.Model([tokens, numbers], classify(inputs, settings, labels), name=READER)
        return keras.Model(tokens, reader([tokens, layer(tokens)]), name=NAME)


def require(learned: Path | None) -> Path:
    """Return the folder of the step `phrases`, or refuse to build without it."""
    if learned is None:
        raise ValueError("model.phrases and model.word_vectors need what the step phrases has learned")
    return learned


def phrase_layer(learned: Path, vocabulary_size: int) -> Any:
    """Return the layer that looks phrases up, filled from all training texts."""
    import keras

    from tasks.network.custom_layers import PhraseNumbers

    known, table = read_table(learned)
    layer = PhraseNumbers(len(known), vocabulary_size, LONGEST, table.shape[1], name="phrase_numbers")
    layer(keras.Input((None,), dtype="int32"))
    layer.set_weights([known, table])
    return layer


def embed(tokens: Any, settings: ModelSettings, vocabulary_size: int, learned: Path | None) -> Any:
    """Return (batch, length, dim) word vectors: trained, fixed, or fixed and tuned; None if there are none."""
    import keras

    if not (settings.word_vectors or settings.embedding_dim):
        return None
    if settings.word_vectors:
        table = np.load(require(learned) / VECTORS)
        embedding = keras.layers.Embedding(*table.shape, trainable=False, name="word_vectors")
    else:
        embedding = keras.layers.Embedding(vocabulary_size, settings.embedding_dim, name="embedding")
    vectors = embedding(tokens)
    if settings.word_vectors:
        embedding.set_weights([table])
    if settings.vector_tuning:
        tuning = keras.layers.Embedding(*table.shape, embeddings_initializer="zeros", name="vector_tuning")(tokens)
        scaled = keras.layers.Rescaling(settings.vector_tuning, name="scaled_tuning")(tuning)
        vectors = keras.layers.Add(name="tuned_vectors")([vectors, scaled])
    if settings.embedding_dropout:
        vectors = keras.layers.SpatialDropout1D(settings.embedding_dropout, name="embedding_dropout")(vectors)
    return vectors


def classify(words: Any, settings: ModelSettings, labels: int) -> Any:
    """Run all layers after the embedding, from (batch, length, dim) words to probabilities."""
    import keras

    if settings.word_dropout:
        from tasks.network.custom_layers import WordDropout

        words = WordDropout(settings.word_dropout, settings.seed, name="word_dropout")(words)
    hidden = keras.layers.Flatten(name="flatten")(read_out(words, settings))
    if settings.dense_units:
        hidden = keras.layers.Dense(settings.dense_units, activation="relu", name="dense")(hidden)
    hidden = keras.layers.Dropout(settings.dense_dropout, name="dropout")(hidden)
    if labels == 2:
        return keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden)
    return keras.layers.Dense(labels, activation="softmax", name="probabilities")(hidden)


def read_out(vectors: Any, settings: ModelSettings) -> Any:
    """Run the recurrent layers over (batch, length, dim) vectors and return (batch, features) by `readout`.

    features is `units`, doubled if bidirectional, and doubled again for the readout "max_mean" and for the readout
    "state" of an LSTM, which joins h and c.
    """
    import keras

    for number in range(1, settings.layers):
        vectors = recurrent_layer(settings, number, return_sequences=True)(vectors)
    if settings.readout == "last":
        return recurrent_layer(settings, settings.layers)(vectors)
    if settings.readout == "state":
        _last, *states = recurrent_layer(settings, settings.layers, return_state=True)(vectors)
        return states[0] if len(states) == 1 else keras.layers.Concatenate(name="state")(states)
    sequence = recurrent_layer(settings, settings.layers, return_sequences=True)(vectors)
    pooled = []
    if settings.readout in ("max", "max_mean"):
        pooled.append(keras.layers.GlobalMaxPooling1D(name="max_over_time")(sequence))
    if settings.readout in ("mean", "max_mean"):
        pooled.append(keras.layers.GlobalAveragePooling1D(name="mean_over_time")(sequence))
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="max_and_mean")(pooled)


def recurrent_layer(
    settings: ModelSettings, number: int, *, return_sequences: bool = False, return_state: bool = False
) -> Any:
    """Return the recurrent layer with the given number, from 1, bidirectional if the settings say so."""
    import keras

    kind = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
    gates = {"recurrent_activation": settings.recurrent_activation} if settings.recurrent_activation else {}
    layer = kind[settings.cell](
        settings.units,
        activation=settings.activation,
        dropout=settings.dropout,
        recurrent_dropout=settings.recurrent_dropout,
        return_sequences=return_sequences,
        return_state=return_state,
        name=f"{settings.cell}_{number}",
        **gates,
    )
    return keras.layers.Bidirectional(layer, name=f"bidirectional_{number}") if settings.bidirectional else layer


@step(run_name="build {settings.cell} of {settings.units}")
def build(*, padded: Path, learned: Path | None, settings: ModelSettings, folder: Path) -> dict[str, int]:
    """Write model.keras and summary.txt; return the number of parameters."""
    facts = PaddedFile(padded_file(padded, "train")).metadata
    model = make_model(settings, int(facts["vocabulary_size"]), int(facts["labels"]), learned)
    save_model(model, folder / MODEL)
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=100, expand_nested=True)
    (folder / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"parameters": model.count_params()}
