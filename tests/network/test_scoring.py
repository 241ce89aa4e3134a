import numpy as np

from tasks.build import make_model
from tasks.core.run_settings import ModelSettings
from tests.support.keras_scorer import keras_scorer
from tests.support.small_reviews import WORDS, make_padded


def test_probabilities_are_in_the_order_of_the_texts():
    model = make_model(ModelSettings(units=8, embedding_dim=8, dense_units=8), WORDS)
    texts = make_padded(120, maxlen=100, seed=3)
    expected = model.predict(texts.tokens.astype(np.int32), verbose=0)[:, 0]
    np.testing.assert_allclose(keras_scorer(model, 7, bucketing=False)(texts), expected, atol=1e-6)
