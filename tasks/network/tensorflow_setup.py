"""TensorFlow's setup: exact and repeatable arithmetic, which no cache key has."""

import faulthandler
import threading

from tasks.core.errors import TrainingError

STARTING = threading.Lock()


def start_tensorflow() -> None:
    """Import TensorFlow and Keras, and set what determines their results but is in no cache key.

    A crash of the import shows what Python was doing, as on a processor that TensorFlow was not built for.
    """
    with STARTING:
        if not faulthandler.is_enabled():
            faulthandler.enable(2)
        configure()


def configure() -> None:
    """Set Keras's defaults and exact, repeatable arithmetic on GPUs; raise TrainingError for another dtype policy."""
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
    if (policy := keras.config.dtype_policy().name) != "float32":
        raise TrainingError(
            f"Keras's global dtype policy is {policy}, expected float32; remove keras.config.set_dtype_policy"
        )
    # TF32 rounds to 10 bits: Keras and ONNX would differ by more than 1e-5.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if tf.config.list_physical_devices("GPU"):  # processors compute the same each time as it is
        tf.config.experimental.enable_op_determinism()


def arithmetic() -> dict[str, bool]:
    """Return the settings of arithmetic, which are recorded with a training."""
    import tensorflow as tf

    return {
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "op_determinism": bool(tf.config.list_physical_devices("GPU")),
    }


def training_device() -> str:
    """Return the device that TensorFlow trains on: the first GPU that it sees ("GPU:0"), otherwise "CPU:0"."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return str(found[0].name.removeprefix("/device:"))
