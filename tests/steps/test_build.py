import random
import re
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from tasks.build import build, make_model
from tasks.core.run_settings import ModelSettings
from tasks.linear.phrase_tables import VECTORS, read_phrases
from tasks.network.keras_files import learner_of, load_model
from tasks.texts.padded import write_padded
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import WORDS, padded_schema

DOCS = Path(__file__).parents[2] / "docs" / "recurrent-layers.md"


def small(**values) -> ModelSettings:
    return ModelSettings(**({"units": 4, "embedding_dim": 3, "dense_units": 5} | values))


def test_the_default_network_has_the_layers_of_the_case_study():
    model = make_model(ModelSettings(), 10_000)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Embedding", "Bidirectional", "Flatten", "Dense", "Dropout", "Dense"]
    assert [layer.count_params() for layer in model.layers] == [0, 1_280_000, 98_816, 0, 8_256, 0, 65]
    assert model.count_params() == 1_387_137
    bidirectional, dense, dropout, probability = (model.layers[place] for place in (2, 4, 5, 6))
    assert type(bidirectional.forward_layer).__name__ == "LSTM"
    assert (bidirectional.forward_layer.units, dense.units, dropout.rate) == (64, 64, 0.3)
    assert (dense.activation.__name__, probability.activation.__name__) == ("relu", "sigmoid")


def test_three_labels_give_one_softmax_output_per_label():
    model = make_model(small(), 10, 3)
    scores = model(np.ones((2, 7), np.int32)).numpy()
    assert scores.shape == (2, 3)
    assert scores.sum(axis=1) == pytest.approx([1, 1])
    assert (model.layers[-1].name, model.layers[-1].activation.__name__) == ("probabilities", "softmax")


def formulas() -> dict[str, str]:
    """The formulas for parameter counts in the documentation, by cell."""
    return dict(re.findall(r"^\| `(simple_rnn|lstm|gru)` \|.*\| `(.+?)` \|$", DOCS.read_text(), re.MULTILINE))


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize(("units", "dim"), [(4, 3), (64, 128), (1, 1)])
def test_the_documented_parameter_count_equals_that_of_the_layer(cell, units, dim):
    count = eval(formulas()[cell], {"units": units, "inputs": dim})
    for bidirectional in (False, True):
        model = make_model(small(cell=cell, units=units, embedding_dim=dim, bidirectional=bidirectional), 50)
        assert model.layers[2].count_params() == count * (2 if bidirectional else 1)


@pytest.mark.parametrize(
    ("values", "features"),
    [
        ({"readout": "last"}, 8),
        ({"readout": "max"}, 8),
        ({"readout": "mean"}, 8),
        ({"readout": "max_mean"}, 16),
        ({"readout": "state"}, 16),
        ({"readout": "state", "cell": "gru"}, 8),
        ({"readout": "state", "cell": "simple_rnn", "bidirectional": False}, 4),
        ({"readout": "state", "bidirectional": False}, 8),
        ({"layers": 3, "cell": "gru"}, 8),
        ({"layers": 2, "readout": "mean", "bidirectional": False}, 4),
    ],
)
def test_each_readout_has_the_expected_number_of_features(values, features):
    model = make_model(small(**values), 50)
    assert model.get_layer("flatten").output.shape == (None, features)
    assert sum("bidirectional" in layer.name or layer.name[-2:] in ("_1", "_2", "_3") for layer in model.layers) == (
        values.get("layers", 1)
    )


def test_activations_and_dropouts_reach_their_layers():
    model = make_model(
        small(cell="gru", activation="relu", recurrent_activation="hard_sigmoid", dropout=0.1, recurrent_dropout=0.2,
              embedding_dropout=0.4, dense_dropout=0.5, bidirectional=False), 50)  # fmt: skip
    layer = model.get_layer("gru_1")
    assert (layer.activation.__name__, layer.recurrent_activation.__name__) == ("relu", "hard_sigmoid")
    assert (layer.dropout, layer.recurrent_dropout) == (0.1, 0.2)
    assert (model.get_layer("embedding_dropout").rate, model.get_layer("dropout").rate) == (0.4, 0.5)


def test_a_text_of_any_length_is_scored():
    model = make_model(small(), 50)
    for length in (1, 32, 100):
        assert model(np.ones((2, length), np.int32)).shape == (2, 1)


def test_equal_settings_give_identical_bytes_and_another_seed_does_not(tmp_path, rng):
    tokens = rng.integers(1, 50, (3, 8)).astype(np.uint16)
    schema = padded_schema(8, 50, "pre", "pre")
    write_padded(tmp_path / "train.parquet", schema, [(tokens, np.full(3, 8), np.array([0, 1, 0]))])
    files = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert (
            build.function(padded=tmp_path, settings=small(seed=seed, readout="state"), learned=None, folder=folder)[
                "parameters"
            ]
            > 0
        )
        files.append((folder / "model.keras").read_bytes())
    assert files[0] == files[1] != files[2]
    assert "embedding" in (tmp_path / "0" / "summary.txt").read_text()
    assert load_model(tmp_path / "0" / "model.keras").get_layer("embedding").input_dim == 50


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    write_reviews(folder)
    learn_small(folder)
    return folder / "learned"


def test_a_phrase_network_computes_the_phrase_numbers_from_tokens(learned, tmp_path, rng):
    model = make_model(small(phrases=True, word_dropout=0.2, dense_units=0), WORDS, learned=learned)
    tokens, reader = rng.integers(0, WORDS, (7, 20)).astype(np.int32), read_phrases(learned, WORDS).for_others(7)
    numbers = reader(tokens, np.arange(7))
    assert numbers.any()
    whole = np.array(model(tokens))
    np.testing.assert_allclose(whole, np.array(learner_of(model)([tokens, numbers])), atol=1e-6)
    assert not np.allclose(whole, np.array(learner_of(model)([tokens, np.zeros_like(numbers)])), atol=1e-4)
    assert {weight.path.partition("/")[0] for weight in model.trainable_weights} == {
        "embedding", "bidirectional_1", "probability",
    }  # fmt: skip
    model.save(tmp_path / "a.keras")
    assert (np.array(load_model(tmp_path / "a.keras")(tokens)) == whole).all()


def test_a_phrase_network_works_without_word_embeddings(learned, rng):
    model = make_model(small(phrases=True, embedding_dim=0), WORDS, learned=learned)
    tokens, reader = rng.integers(0, WORDS, (7, 20)).astype(np.int32), read_phrases(learned, WORDS).for_others(7)
    numbers = reader(tokens, np.arange(7))
    np.testing.assert_allclose(np.array(model(tokens)), np.array(learner_of(model)([tokens, numbers])), atol=1e-6)
    assert not any("embedding" in weight.path for weight in model.weights)


def test_word_vectors_are_fixed(learned):
    model = make_model(small(word_vectors=True), WORDS, learned=learned)
    assert (model.get_layer("word_vectors").get_weights()[0] == np.load(learned / VECTORS)).all()
    assert not model.get_layer("word_vectors").trainable_weights
    assert learner_of(model) is model


def test_word_vectors_can_be_tuned(learned, rng):
    model = make_model(small(word_vectors=True, vector_tuning=0.2), WORDS, learned=learned)
    tokens, tuning = rng.integers(0, WORDS, (7, 20)).astype(np.int32), model.get_layer("vector_tuning")
    assert not tuning.get_weights()[0].any()
    tuning.set_weights([rng.normal(size=tuning.get_weights()[0].shape)])
    vectors = keras.Model(model.input, model.get_layer("tuned_vectors").output)(tokens)
    expected = np.load(learned / VECTORS)[tokens] + 0.2 * tuning.get_weights()[0][tokens]
    np.testing.assert_allclose(np.array(vectors), expected, atol=1e-6)
    with pytest.raises(ValueError, match="vector_tuning needs word_vectors"):
        small(vector_tuning=0.2)


def test_a_phrase_network_cannot_be_built_without_learned_phrases():
    with pytest.raises(ValueError, match=r"model\.phrases and model\.word_vectors need"):
        make_model(small(phrases=True), WORDS)


def test_initial_weights_do_not_depend_on_other_threads():
    expected = make_model(small(seed=5), 10).get_weights()
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            random.randint(1, 9)

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        found = [make_model(small(seed=5), 10).get_weights() for _ in range(3)]
    finally:
        done.set()
    assert all((its == weights).all() for each in found for its, weights in zip(each, expected, strict=True))
