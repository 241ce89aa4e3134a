import pytest

from tasks.build import make_model
from tasks.core.settings import ModelSettings
from tasks.network.devices import describe_device, recurrent_layers, training_device
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import WORDS


def test_this_machine_has_a_device():
    assert training_device() in ("CPU:0", "GPU:0")


@pytest.mark.parametrize(
    ("values", "device", "line"),
    [
        ({}, "CPU:0", "Training on CPU:0, the recurrent layers step by step; cuDNN's kernels need a GPU"),
        ({}, "GPU:0", "Training on GPU:0, the recurrent layers with cuDNN's kernels"),
        ({"cell": "gru"}, "GPU:0", "Training on GPU:0, the recurrent layers with cuDNN's kernels"),
        ({"recurrent_dropout": 0.1}, "GPU:0",
         "Training on GPU:0, the recurrent layers step by step: "
         "no cuDNN kernel, because recurrent_dropout is not 0"),
        ({"activation": "relu"}, "GPU:0",
         "Training on GPU:0, the recurrent layers step by step: no cuDNN kernel, because activation is not tanh"),
        ({"cell": "simple_rnn", "bidirectional": False}, "GPU:0",
         "Training on GPU:0, the recurrent layers step by step: no cuDNN kernel, because SimpleRNN has none"),
    ],
)  # fmt: skip
def test_the_line_says_where_and_by_which_kernels(values, device, line):
    model = make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2, layers=2, **values), 10)
    assert describe_device(model, device) == line
    assert len(list(recurrent_layers(model))) == (2 if values.get("bidirectional") is False else 4)


def test_the_layers_within_the_reader_of_a_network_that_reads_phrases_are_found(tmp_path):
    write_reviews(tmp_path)
    learn_small(tmp_path)
    model = make_model(ModelSettings(units=2, phrases=True, embedding_dim=2), WORDS, 2, tmp_path / "learned")
    assert [type(layer).__name__ for layer in recurrent_layers(model)] == ["LSTM", "LSTM"]
