import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tasks.linear.phrase_tables import PhraseReader, distinct_phrases
from tasks.network.custom_layers import PhraseNumbers, WordDropout
from tasks.network.keras_files import load_model, save_model
from tasks.network.onnx_export import network_to_onnx
from tests.support.learned import lists
from tests.support.small_reviews import WORDS, make_padded, make_reviews

REVIEWS = make_padded(60, maxlen=40, seed=3)
TOKENS = REVIEWS.tokens.astype(np.int32)


def reader_and_network(phrases: int | None, numbers: int = 2) -> tuple[PhraseReader, keras.Model]:
    """Return a NumPy reader and a network for the same table of phrases, which has random numbers."""
    known = distinct_phrases([lists(make_reviews(60, np.random.default_rng(3), 40)[0])], WORDS, repeated=False)
    known = known[:: max(1, len(known) // phrases)][:phrases] if phrases else known
    table = np.random.default_rng(1).normal(size=(len(known) + 1, numbers)).astype(np.float32)
    table[-1] = 0
    tokens = keras.Input((None,), dtype="int32")
    layer = PhraseNumbers(len(known), WORDS, 3, numbers)
    network = keras.Model(tokens, layer(tokens))
    layer.set_weights([known, table])
    return PhraseReader(WORDS, known, table[None], np.zeros(60, int)), network


@pytest.mark.parametrize("phrases", [1, 2, 3, 4, 5, 8, 9, 100, None])
def test_the_phrase_layer_matches_numpy_for_tables_of_any_size(phrases):
    reader, network = reader_and_network(phrases)
    expected = reader(TOKENS, np.arange(60))
    assert network.output_shape == (None, None, 6)
    assert (np.array(network(TOKENS)) == expected).all()
    assert expected.any() or phrases == 1
    for length in (1, 2, 3):
        assert (np.array(network(TOKENS[:, -length:])) == reader(TOKENS[:, -length:], np.arange(60))).all()


def test_padding_becomes_zeros_and_does_not_change_other_positions():
    _reader, network = reader_and_network(None)
    words = np.array([[row[row > 0][:5] for row in TOKENS if (row > 0).sum() >= 5]][0], np.int32)
    alone = np.array(network(words))
    for before, after in ((3, 0), (0, 3), (1, 2)):
        padded = np.array(network(np.pad(words, ((0, 0), (before, after)))))
        assert (padded[:, before : before + 5] == alone).all()
        assert not padded[:, :before].any()
        assert not padded[:, before + 5 :].any()


def test_the_phrase_layer_matches_numpy_with_six_numbers_per_phrase():
    reader, network = reader_and_network(50, numbers=6)
    assert (np.array(network(TOKENS)) == reader(TOKENS, np.arange(60))).all()


def test_the_phrase_table_survives_every_export(tmp_path):
    reader, network = reader_and_network(None)
    expected = reader(TOKENS, np.arange(60))
    save_model(network, tmp_path / "model.keras")
    assert (np.array(load_model(tmp_path / "model.keras")(TOKENS)) == expected).all()
    network.export(tmp_path / "saved", verbose=False)
    assert (tf.saved_model.load(str(tmp_path / "saved")).serve(TOKENS).numpy() == expected).all()
    pooled = keras.Model(network.inputs, keras.layers.GlobalMaxPooling1D()(network.outputs[0]))
    model = network_to_onnx(pooled, "numbers").SerializeToString()
    (found,) = onnxruntime.InferenceSession(model).run(None, {"tokens": TOKENS})
    assert (found == expected.max(axis=1)).all()


def test_word_dropout_drops_whole_words_in_training_only():
    layer, words = WordDropout(0.3, seed=1), np.ones((50, 40, 5), np.float32)
    assert (np.array(layer(words)) == 1).all()
    dropped = np.array(layer(words, training=True))
    assert set(np.unique(dropped)) == {0, 1}
    assert (dropped.std(axis=2) == 0).all()
    assert dropped.mean() == pytest.approx(0.7, abs=0.04)
    again = WordDropout.from_config(layer.get_config())
    assert (np.array(again(words, training=True)) == dropped).all()
