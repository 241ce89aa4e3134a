import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.build import make_model
from tasks.core.settings import ModelSettings
from tasks.network.devices import describe_devices, devices, recurrent_layers
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import WORDS

PROJECT = Path(__file__).parents[2]

# Trains the given number of epochs on the given number of logical processors; resumes a training of the same name.
TRAIN = """
import json, os, sys
import keras
import tensorflow as tf
count, epochs, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
(processor,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * count)
from pathlib import Path
from tasks.build import make_model
from tasks.core.settings import ModelSettings, TrainingSettings
from tasks.network.checkpoint import Checkpoint
from tasks.network.keras_files import save_model
from tasks.train import fit
from tests.support.small_reviews import WORDS, make_padded
folder = Path(folder)
folder.mkdir(parents=True, exist_ok=True)
if not (folder / "built.keras").exists():
    settings = ModelSettings(units=4, embedding_dim=4, dense_units=4, dense_dropout=0)
    save_model(make_model(settings, WORDS), folder / "built.keras")
train, validation = make_padded(121, maxlen=64, seed=1), make_padded(40, maxlen=64, seed=2)
said = []
settings = TrainingSettings(epochs=epochs, batch_size=16)
model, history = fit(
    folder / "built.keras", [train], [validation], settings, Checkpoint(folder / "kept"), said.append
)
weights = [float(abs(its).sum()) for its in model.get_weights()]
epochs = [its.model_dump(exclude={"seconds"}) for its in history]
print(json.dumps({"said": said, "epochs": epochs, "weights": weights}))
"""


def trained(folder: Path, devices: int, epochs: int) -> dict:
    command = [sys.executable, "-c", TRAIN, str(devices), str(epochs), str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.machines
def test_two_devices_learn_what_one_learns_and_go_on_where_they_stopped(tmp_path):
    one, two = trained(tmp_path / "one", 1, 3), trained(tmp_path / "two", 2, 3)
    assert two["said"][0].startswith("Training on CPU:0 and CPU:1, ")
    assert one["said"][0].startswith("Training on CPU:0, ")
    for alone, spread in zip(one["epochs"], two["epochs"], strict=True):
        judged = {name: value for name, value in alone.items() if name.startswith("val_")}
        assert {name: spread[name] for name in judged} == pytest.approx(judged, abs=1e-5)
        assert spread["loss"] == pytest.approx(alone["loss"], abs=1e-3)  # of batches filled up, a row may count twice
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-5)
    trained(tmp_path / "stopped", 2, 2)
    resumed = trained(tmp_path / "stopped", 2, 3)
    assert resumed["said"][0].startswith("Going on after epoch 2")
    assert (resumed["epochs"], resumed["weights"]) == (two["epochs"], two["weights"])


def test_this_machine_has_a_device():
    assert devices()


@pytest.mark.parametrize(
    ("values", "found", "said"),
    [
        ({}, ["CPU:0"], "Training on CPU:0, the recurrent layers step by step; cuDNN's kernels need a GPU"),
        ({}, ["GPU:0"], "Training on GPU:0, the recurrent layers with cuDNN's kernels"),
        ({"cell": "gru"}, ["GPU:0", "GPU:1"], "Training on GPU:0 and GPU:1, the recurrent layers with cuDNN's kernels"),
        ({"recurrent_dropout": 0.1}, ["GPU:0"] * 3,
         "Training on 3 devices, the recurrent layers step by step: "
         "no cuDNN kernel, because recurrent_dropout is not 0"),
        ({"activation": "relu"}, ["GPU:0"],
         "Training on GPU:0, the recurrent layers step by step: no cuDNN kernel, because activation is not tanh"),
        ({"cell": "simple_rnn", "bidirectional": False}, ["GPU:0"],
         "Training on GPU:0, the recurrent layers step by step: no cuDNN kernel, because SimpleRNN has none"),
    ],
)  # fmt: skip
def test_the_line_says_where_and_by_which_kernels(values, found, said):
    model = make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2, layers=2, **values), 10)
    assert describe_devices(model, found) == said
    assert len(list(recurrent_layers(model))) == (2 if values.get("bidirectional") is False else 4)


def test_the_layers_within_the_reader_of_a_network_that_reads_phrases_are_found(tmp_path):
    write_reviews(tmp_path)
    learn_small(tmp_path)
    model = make_model(ModelSettings(units=2, phrases=True, embedding_dim=2), WORDS, 2, tmp_path / "learned")
    assert [type(layer).__name__ for layer in recurrent_layers(model)] == ["LSTM", "LSTM"]
