"""The device that a network is trained on, and whether cuDNN runs its recurrent layers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.network.quiet_import import start_tensorflow

if TYPE_CHECKING:
    import keras


def training_device() -> str:
    """Return the device that TensorFlow trains on: the first GPU that it sees ("GPU:0"), otherwise "CPU:0"."""
    start_tensorflow()
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return str(found[0].name.removeprefix("/device:"))


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
    for name, required in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if getattr(layer, name).__name__ != required:
            return f"{name} is not {required}"
    return "recurrent_dropout is not 0" if layer.recurrent_dropout else None


def describe_device(model: "keras.Model", device: str) -> str:
    """Return a line for the log: the device, and whether cuDNN's recurrent kernels are used."""
    where = f"Training on {device}"
    if not device.startswith("GPU"):
        return f"{where}, the recurrent layers step by step; cuDNN's kernels need a GPU"
    reasons = {reason for layer in recurrent_layers(model) if (reason := reason_against_kernel(layer))}
    if reasons:
        return f"{where}, the recurrent layers step by step: no cuDNN kernel, because {'; '.join(sorted(reasons))}"
    return f"{where}, the recurrent layers with cuDNN's kernels"
