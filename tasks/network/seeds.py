"""Seeds: the first weights follow from a seed, and the state of dropout from a seed and the epoch."""

import contextlib
import random
import threading
import unittest.mock
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

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


def seed_dropout(model: "keras.Model", *numbers: int) -> None:
    """Set the state of every random generator in `model` from `numbers` and the generator's position.

    A .keras file does not keep that state. If it is set before each epoch from the seed and the epoch, resumed training
    equals uninterrupted training.
    """
    for position, state in enumerate(random_states(model)):
        state.assign(np.random.SeedSequence([*numbers, position]).generate_state(2, np.uint32))


def random_states(model: "keras.Model") -> list[Any]:
    """Return the state of every random generator in a model, recurrent cells included: (2,) uint32 variables."""
    # Keras counts a generator's state among a layer's variables, but not among its weights.
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
