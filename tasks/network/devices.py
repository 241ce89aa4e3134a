"""Devices: what a network is trained on, and what runs its recurrent layers there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.network.quiet_import import start_tensorflow

# TensorFlow and Keras are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def devices() -> list[str]:
    """Return what to train on: the GPUs that TensorFlow sees, "GPU:0" and so on, else the processors, "CPU:0" as one.

    CUDA_VISIBLE_DEVICES takes GPUs out of its sight.
    """
    start_tensorflow()
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.removeprefix("/device:") for device in found]


def strategy() -> "tf.distribute.Strategy":
    """Return how a training is spread: over all devices, each of which takes its share of every batch."""
    found = devices()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(found) if len(found) > 1 else tf.distribute.get_strategy()


def recurrent_layers(model: "keras.Model") -> Iterator[Any]:
    """Yield the recurrent layers of a network, those within other layers too, one for each way."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from recurrent_layers(layer)
        elif isinstance(layer, keras.layers.Bidirectional):
            yield from (layer.forward_layer, layer.backward_layer)
        elif isinstance(layer, keras.layers.RNN):
            yield layer


def reason_against_kernel(layer: Any) -> str | None:
    """Return why cuDNN cannot run a recurrent layer, all its steps in one kernel; None where it can.

    These are the conditions of Keras's TensorFlow backend, for layers as `make_model` makes them.
    """
    if type(layer).__name__ == "SimpleRNN":
        return "there is none for SimpleRNN"
    for name, require in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if getattr(layer, name).__name__ != require:
            return f"{name} is not {require}"
    return "recurrent_dropout is not 0" if layer.recurrent_dropout else None


def describe_devices(model: "keras.Model", found: list[str]) -> str:
    """Return a line that says where a network is trained, and whether by cuDNN's recurrent kernels.

    Args:
        model: the network.
        found: what `devices` returns.
    """
    where = f"Training on {' and '.join(found) if len(found) < 3 else f'{len(found)} devices'}"
    if not found[0].startswith("GPU"):
        return f"{where}, the recurrent layers step by step; their kernels of cuDNN need a GPU"
    reasons = {reason for layer in recurrent_layers(model) if (reason := reason_against_kernel(layer))}
    if reasons:
        return f"{where}, the recurrent layers step by step: no kernel of cuDNN, for {'; '.join(sorted(reasons))}"
    return f"{where}, the recurrent layers by cuDNN's kernels"
