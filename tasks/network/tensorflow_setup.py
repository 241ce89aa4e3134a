"""TensorFlow's setup: exact arithmetic, and an import without the notices that it prints for its own developers.

No environment variable does this: TensorFlow prints them from C++ before it reads TF_CPP_MIN_LOG_LEVEL, also that
TF_ENABLE_ONEDNN_OPTS is set, as it is here. The filter is grep, so other messages appear even if the import crashes.
"""

import contextlib
import faulthandler
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from tasks.core.optional_imports import without_packages

# No GPU, oneDNN's rounding, unused processor instructions: not interesting to someone who runs the pipeline.
NOTICE = (
    "absl::InitializeLog|oneDNN custom operations|cuda_?stub|cuda_platform|cuda_executor|cudart|"
    "cpu_feature_guard|To enable the following instructions|Unable to register cu"
)
LAST_LINES_SECONDS = 10
STARTING = threading.Lock()


def start_tensorflow() -> None:
    """Import TensorFlow and Keras, and set what determines their results but is in no cache key."""
    with STARTING:
        import_tensorflow()
        configure()


def configure() -> None:
    """Set Keras's defaults and exact, repeatable arithmetic on GPUs."""
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
    keras.config.set_dtype_policy("float32")
    # TF32 rounds to 10 bits: Keras and ONNX would differ by more than 1e-5.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if tf.config.list_physical_devices("GPU"):  # processors compute the same each time as it is
        tf.config.experimental.enable_op_determinism()


def training_device() -> str:
    """Return the device that TensorFlow trains on: the first GPU that it sees ("GPU:0"), otherwise "CPU:0"."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return str(found[0].name.removeprefix("/device:"))


def import_tensorflow() -> None:
    """Import TensorFlow and find its devices without notices; a crash in there shows what Python was doing."""
    if "tensorflow" in sys.modules:
        return
    if not faulthandler.is_enabled():
        faulthandler.enable(2)
    with without_notices(), without_packages("matplotlib", "pandas", "scipy", "sklearn"):
        import tensorflow as tf

        tf.config.list_logical_devices()


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Filter this process's standard error, C++ included."""
    sys.stderr.flush()
    screen = os.dup(2)
    # In its own session: Ctrl-C must end the run, not the filter that shows its last lines.
    command = ["grep", "--line-buffered", "--text", "--invert-match", "--extended-regexp", NOTICE]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=screen, start_new_session=True)
    assert process.stdin
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)
        # It ends with its input, which a process that the import started may keep open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_LINES_SECONDS)
