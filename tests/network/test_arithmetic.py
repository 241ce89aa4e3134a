"""Settings from outside that would change a training, which no cache key contains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TRAIN = """
import hashlib
from tasks.core import environment
environment.prepare([])
import numpy as np
from tasks.build import make_model
from tasks.core.settings import ModelSettings, TrainingSettings
from tasks.texts.padded import Padded
from tasks.train import compile_model, fit_epoch
rng = np.random.default_rng(0)
labels, lengths = rng.integers(0, 2, 96).astype(np.int8), np.full(96, 32, np.int32)
texts = [Padded(rng.integers(1, 50, (96, 32)).astype(np.uint16), lengths, labels, "pre", 50)]
settings = TrainingSettings(batch_size=16, seed=1)
model = make_model(ModelSettings(units=16, embedding_dim=16), 50)
compile_model(model, settings, 6)
fit_epoch(model, texts, texts, settings, 1)
print(hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest())
"""
HOSTILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "NVIDIA_TF32_OVERRIDE": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
KERAS_JSON = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "max_steps_per_epoch": 1}


def train(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in HOSTILE}
    environment = clean | {"ARTIFACTS_STORE": str(folder / "store"), "PYTHONPATH": str(PROJECT)} | variables
    command = [sys.executable, "-c", TRAIN]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)


def test_settings_from_outside_do_not_change_what_is_trained(tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(KERAS_JSON))
    expected = train(tmp_path)
    other = train(tmp_path, **HOSTILE, **THREADS, KERAS_HOME=str(tmp_path / "keras"))
    assert other.stdout == expected.stdout
    for name, value in HOSTILE.items():
        assert f"{name}={value} is not used" in other.stderr
        assert name not in expected.stderr


def test_another_dtype_policy_is_refused():
    import keras

    from tasks.core.errors import TrainingError
    from tasks.network.quiet_import import start_tensorflow

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(TrainingError, match=r"global dtype policy is mixed_float16, expected float32"):
            start_tensorflow()
    finally:
        keras.config.set_dtype_policy(before)
    start_tensorflow()


def test_tf32_is_off():
    import tensorflow as tf

    from tasks.network.quiet_import import arithmetic, start_tensorflow

    tf.config.experimental.enable_tensor_float_32_execution(True)
    start_tensorflow()
    assert arithmetic() == {"tf32": False, "op_determinism": False}
