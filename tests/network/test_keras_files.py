import pytest

from tasks.build import make_model
from tasks.core.run_settings import ModelSettings
from tasks.network.keras_files import load_model, save_model
from tests.support.small_reviews import WORDS


def test_a_saved_model_is_loaded_with_equal_weights(tmp_path):
    model = make_model(ModelSettings(units=8, embedding_dim=8, dense_units=8), WORDS)
    save_model(model, tmp_path / "a.keras")
    loaded = load_model(tmp_path / "a.keras")
    assert all((old == new).all() for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"]


def test_a_model_that_contains_code_is_refused(tmp_path):
    import keras

    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="lambda"):
        load_model(tmp_path / "a.keras")
