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


def fits_kernel(layer: Any) -> bool:
    """Return whether cuDNN can run a recurrent layer from `make_model`, by the rules of Keras's TensorFlow backend."""
    if type(layer).__name__ == "SimpleRNN" or layer.recurrent_dropout:
        return False
    return (layer.activation.__name__, layer.recurrent_activation.__name__) == ("tanh", "sigmoid")


def describe_device(model: "keras.Model", device: str) -> str:
    """Return a line for the log: the device, and how many recurrent layers cuDNN's kernels run there."""
    layers = list(recurrent_layers(model))
    count = sum(map(fits_kernel, layers)) if device.startswith("GPU") else 0
    return f"Training on {device}; cuDNN's kernels run {count} of {len(layers)} recurrent layers"
