"""Environment settings that would change the results of a training, but that no cache key contains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tasks.core.environment import FIXED, REMOVED, REMOVED_PREFIXES
from tests.support.small_runs import as_flags, small

PROJECT = Path(__file__).parents[2]
HOSTILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_NNX_ENABLED": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "NVIDIA_TF32_OVERRIDE": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    "TF_DETERMINISTIC_OPS": "1",
    "TF_CUDNN_DETERMINISTIC": "1",
    "TF_DISABLE_MKL": "1",
    "TF_SET_ONEDNN_FPMATH_MODE": "BF16",
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
}
THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
KERAS_JSON = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "max_steps_per_epoch": 1}


def artifacts_of(store: Path) -> dict[str, tuple[str, str]]:
    """Return key and hash of each artifact of the store's latest run."""
    artifacts = json.loads((store / "runs" / "latest" / "metrics.json").read_text())["artifacts"]
    return {step: (its["key"], its["sha256"]) for step, its in artifacts.items()}


@pytest.mark.slow
def test_environment_settings_do_not_change_the_artifacts_of_a_run(tmp_path, imdb, first_run, prefect_server):
    assert {*FIXED, *REMOVED} <= set(HOSTILE)
    assert all(any(name.startswith(prefix) for name in HOSTILE) for prefix in REMOVED_PREFIXES)
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(KERAS_JSON))
    own = {"ARTIFACTS_STORE": str(tmp_path / "store"), "KERAS_HOME": str(tmp_path / "keras")}
    own |= {"PREFECT_API_URL": PREFECT_API_URL.value() or "", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "flows/imdb_flow.py", *as_flags(small(imdb))],
        env=os.environ | HOSTILE | THREADS | own,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for name, value in HOSTILE.items():
        assert f"{name}={value} is not used" in done.stderr
    assert artifacts_of(tmp_path / "store") == artifacts_of(first_run)


def test_another_dtype_policy_has_no_effect():
    import keras

    from tasks.network.tensorflow_setup import start_tensorflow

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    start_tensorflow()
    assert keras.config.dtype_policy().name == before.name == "float32"


def test_tf32_is_disabled():
    import tensorflow as tf

    from tasks.network.tensorflow_setup import start_tensorflow

    tf.config.experimental.enable_tensor_float_32_execution(True)
    start_tensorflow()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.mark.parametrize(("names", "expected"), [(["CPU:0"], "CPU:0"), (["CPU:0", "GPU:0", "GPU:1"], "GPU:0")])
def test_the_training_device_is_the_first_gpu_or_else_the_cpu(monkeypatch, names, expected):
    import tensorflow as tf

    from tasks.network.tensorflow_setup import training_device

    devices = [tf.config.LogicalDevice(f"/device:{name}", name.partition(":")[0]) for name in names]
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [its for its in devices if its.device_type == kind]
    )
    assert training_device() == expected
