import numpy as np
import pytest

from tasks.build import make_model
from tasks.core.settings import ModelSettings
from tasks.network.batches import bucketed_dataset
from tasks.network.keras_files import load_model, save_model
from tasks.network.scoring import keras_scorer
from tasks.network.seeds import random_states, seed_dropout
from tests.support.small_reviews import WORDS, make_padded

REVIEWS = make_padded(120, maxlen=100, seed=3)


@pytest.fixture(scope="module")
def model():
    return make_model(ModelSettings(units=8, embedding_dim=8, dense_units=8), WORDS)


def test_a_batch_has_one_length_and_its_own_labels():
    labels = {tuple(row[row > 0]): label for row, label in zip(REVIEWS.tokens, REVIEWS.labels, strict=True)}
    seen = 0
    for tokens, its_labels in bucketed_dataset([REVIEWS], 16, bucketing=True, rng=np.random.default_rng(1)):
        assert tokens.shape[1] in (32, 64, 96, 100)
        for row, label in zip(tokens.numpy(), its_labels.numpy()[:, 0], strict=True):
            assert labels[tuple(row[row > 0])] == label
            seen += 1
    assert seen == 120
    assert {tokens.shape[1] for tokens, _ in bucketed_dataset([REVIEWS], 16, bucketing=False)} == {100}


def test_parts_come_in_an_order_of_their_own_each_epoch():
    parts = [make_padded(20, maxlen=32, seed=seed) for seed in range(4)]
    orders = [
        np.concatenate([tokens.numpy()[:, -1] for tokens, _ in bucketed_dataset(parts, 8, bucketing=True, rng=rng)])
        for rng in map(np.random.default_rng, (1, 1, 2))
    ]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    assert sorted(orders[0]) == sorted(orders[2])


def test_every_dropout_generator_is_seeded_in_the_cells_too():
    network = make_model(ModelSettings(units=2, embedding_dim=2, embedding_dropout=0.1, dropout=0.1, layers=2), WORDS)
    network.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    seed_dropout(network, 5, 1)
    first = [state.numpy().tolist() for state in random_states(network)]
    assert len(first) == len({tuple(state) for state in first}) == 6  # embedding, two layers both ways, dense
    seed_dropout(network, 5, 2)
    assert all(state.numpy().tolist() != before for state, before in zip(random_states(network), first, strict=True))
    seed_dropout(network, 5, 1)
    assert [state.numpy().tolist() for state in random_states(network)] == first


def test_a_saved_model_is_loaded_with_equal_weights(model, tmp_path):
    save_model(model, tmp_path / "a.keras")
    loaded = load_model(tmp_path / "a.keras")
    assert all((old == new).all() for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"]


def test_a_model_that_brings_code_is_refused(tmp_path):
    import keras

    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="lambda"):
        load_model(tmp_path / "a.keras")


def test_probabilities_are_in_the_order_of_the_reviews(model):
    scored = keras_scorer(model, 7, bucketing=False)(REVIEWS)
    expected = model.predict(REVIEWS.tokens.astype(np.int32), verbose=0)[:, 0]
    np.testing.assert_allclose(scored, expected, atol=1e-6)
