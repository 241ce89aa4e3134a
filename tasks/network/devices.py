"""Devices: what a network is trained on, and whether cuDNN runs its recurrent layers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.network.quiet_import import start_tensorflow

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def devices() -> list[str]:
    """Return the devices to train on: all GPUs that TensorFlow sees ("GPU:0", ...), otherwise "CPU:0"."""
    start_tensorflow()
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.removeprefix("/device:") for device in found]


def strategy() -> "tf.distribute.Strategy":
    """Return the strategy that shares every batch among all devices."""
    found = devices()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(found) if len(found) > 1 else tf.distribute.get_strategy()


def recurrent_layers(model: "keras.Model") -> Iterator[Any]:
    """Yield a network's recurrent layers, nested ones included, one per direction."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from recurrent_layers(layer)
        elif isinstance(layer, keras.layers.Bidirectional):
            yield from (layer.forward_layer, layer.backward_layer)
        elif isinstance(layer, keras.layers.RNN):
            yield layer


def reason_against_kernel(layer: Any) -> str | None:
    """Return why cuDNN cannot run a recurrent layer from `make_model`; None if it can.

    The conditions are those of Keras's TensorFlow backend.
    """
    if type(layer).__name__ == "SimpleRNN":
        return "SimpleRNN has none"
    for name, require in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if getattr(layer, name).__name__ != require:
            return f"{name} is not {require}"
    return "recurrent_dropout is not 0" if layer.recurrent_dropout else None


def describe_devices(model: "keras.Model", found: list[str]) -> str:
    """Return a line for the log: the devices from `devices`, and whether cuDNN's recurrent kernels are used."""
    where = f"Training on {' and '.join(found) if len(found) < 3 else f'{len(found)} devices'}"
    if not found[0].startswith("GPU"):
        return f"{where}, the recurrent layers step by step; cuDNN's kernels need a GPU"
    reasons = {reason for layer in recurrent_layers(model) if (reason := reason_against_kernel(layer))}
    if reasons:
        return f"{where}, the recurrent layers step by step: no cuDNN kernel, because {'; '.join(sorted(reasons))}"
    return f"{where}, the recurrent layers with cuDNN's kernels"
