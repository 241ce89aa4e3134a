import hashlib
from typing import get_args

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from tasks.build import make_model
from tasks.core.errors import ModelError
from tasks.core.run_settings import Activation, ModelSettings
from tasks.network.onnx_export import RECURRENT_ACTIVATIONS, measure_gap, network_to_onnx, write_network

SMALL = {"units": 3, "embedding_dim": 4, "dense_units": 3}
LABELS = ("negative", "positive")


def make_network(labels: int = 2, **settings) -> keras.Model:
    """Return a network whose biases are not all zero, unlike initial ones."""
    network = make_model(ModelSettings(**(SMALL | settings)), 12, labels)
    rng = np.random.default_rng(1)
    network.set_weights([weights + rng.normal(0, 0.3, weights.shape) for weights in network.get_weights()])
    return network


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_onnx_scores_match_keras_for_every_cell_and_activation(tmp_path, cell, activation):
    is_gate = cell != "simple_rnn" and activation in ("tanh", "sigmoid", "hard_sigmoid", "softsign")
    gates = {"recurrent_activation": activation} if is_gate else {}  # a gate without bounds overflows
    readout = "max_mean" if activation == "elu" else "state"
    both_ways = activation == "tanh"  # each direction is written by the same function
    network = make_network(cell=cell, activation=activation, readout=readout, bidirectional=both_ways, **gates)
    onnx.save_model(network_to_onnx(network, "probability"), tmp_path / "model.onnx")
    assert measure_gap(network, tmp_path / "model.onnx", 2) <= 1e-5


@pytest.mark.parametrize(
    "settings", [{"bidirectional": False, "layers": 2}, {"readout": "mean", "dense_units": 0}, {"labels": 5}]
)
def test_onnx_scores_match_keras_for_other_layers_readouts_and_labels(tmp_path, settings):
    network = make_network(**settings)
    labels = [str(label) for label in range(settings.get("labels", 2))]
    write_network(network, labels, tmp_path / "model.onnx")
    assert measure_gap(network, tmp_path / "model.onnx", len(labels)) <= 1e-5
    (output,) = onnx.load(tmp_path / "model.onnx").graph.output
    assert (output.name, len(output.type.tensor_type.shape.dim)) == (
        ("probability", 1) if len(labels) == 2 else ("probabilities", 2)
    )


@pytest.mark.parametrize(("cell", "labels"), [("simple_rnn", 2), ("lstm", 3), ("gru", 2)])
def test_plain_onnxruntime_scores_empty_batches_and_empty_texts(tmp_path, cell, labels):
    write_network(make_network(labels, cell=cell), [str(label) for label in range(labels)], tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((0, 5), (0, 0), (2, 0), (2, 1)):
        (scores,) = session.run(None, {"tokens": np.zeros(shape, np.int32)})
        assert scores.shape == ((shape[0],) if labels == 2 else (shape[0], labels))


def test_recurrent_layers_become_onnx_operators_without_loops():
    kinds = {node.op_type for node in network_to_onnx(make_network(cell="gru"), "probability").graph.node}
    assert "GRU" in kinds
    assert not kinds & {"Loop", "Scan"}


def test_equal_networks_give_equal_bytes(tmp_path):
    network = make_network(activation="softsign")
    network.save(tmp_path / "model.keras")
    for number, copy in enumerate((network, keras.models.load_model(tmp_path / "model.keras"))):
        write_network(copy, LABELS, tmp_path / f"{number}.onnx")
    hashes = {hashlib.sha256((tmp_path / f"{number}.onnx").read_bytes()).hexdigest() for number in (0, 1)}
    assert len(hashes) == 1


def test_a_network_whose_scores_differ_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(RECURRENT_ACTIVATIONS, "tanh", ("Relu", {}))
    with pytest.raises(ModelError, match=r"differ from Keras's by 0\.\d+, expected at most 1e-05"):
        write_network(make_network(), LABELS, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_overflowing_network_scores_the_same_in_onnx_and_keras(tmp_path):
    network = make_network(activation="linear", recurrent_activation="linear")
    network.set_weights([weights * 1e9 for weights in network.get_weights()])
    write_network(network, LABELS, tmp_path / "model.onnx")
    assert measure_gap(network, tmp_path / "model.onnx", 2) == 0


def test_the_error_names_an_unsupported_layer():
    tokens = keras.Input((None,), dtype="int32")
    other = keras.layers.LayerNormalization(name="norm")(keras.layers.Embedding(5, 2)(tokens))
    with pytest.raises(ModelError, match=r"the layer norm \(LayerNormalization\) cannot be written as ONNX"):
        network_to_onnx(keras.Model(tokens, other), "probability")
