from tasks.build import make_model
from tasks.core.run_settings import ModelSettings
from tasks.train import random_states, seed_dropout
from tests.support.small_reviews import WORDS


def test_every_dropout_generator_is_seeded_including_recurrent_cells():
    network = make_model(ModelSettings(units=2, embedding_dim=2, embedding_dropout=0.1, dropout=0.1, layers=2), WORDS)
    network.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    seed_dropout(network, 5, 1)
    first = [state.numpy().tolist() for state in random_states(network)]
    assert len(first) == len({tuple(state) for state in first}) == 6  # embedding, two bidirectional layers, dense
    seed_dropout(network, 5, 2)
    assert all(state.numpy().tolist() != before for state, before in zip(random_states(network), first, strict=True))
    seed_dropout(network, 5, 1)
    assert [state.numpy().tolist() for state in random_states(network)] == first
