import pytest

from tasks.build import make_model
from tasks.core.settings import ModelSettings
from tasks.network.devices import describe_device, recurrent_layers, training_device
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import WORDS


def test_this_machine_has_a_device():
    assert training_device() in ("CPU:0", "GPU:0")


@pytest.mark.parametrize(
    ("values", "device", "kernels"),
    [
        ({}, "CPU:0", 0),
        ({}, "GPU:0", 4),
        ({"cell": "gru"}, "GPU:0", 4),
        ({"recurrent_dropout": 0.1}, "GPU:0", 0),
        ({"activation": "relu"}, "GPU:0", 0),
        ({"cell": "simple_rnn", "bidirectional": False}, "GPU:0", 0),
    ],
)
def test_the_line_says_where_and_by_which_kernels(values, device, kernels):
    model = make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2, layers=2, **values), 10)
    layers = 2 if values.get("bidirectional") is False else 4
    assert len(list(recurrent_layers(model))) == layers
    line = f"Training on {device}; cuDNN's kernels run {kernels} of {layers} recurrent layers"
    assert describe_device(model, device) == line


def test_the_layers_within_the_reader_of_a_network_that_reads_phrases_are_found(tmp_path):
    write_reviews(tmp_path)
    learn_small(tmp_path)
    model = make_model(ModelSettings(units=2, phrases=True, embedding_dim=2), WORDS, 2, tmp_path / "learned")
    assert [type(layer).__name__ for layer in recurrent_layers(model)] == ["LSTM", "LSTM"]
