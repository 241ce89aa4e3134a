import numpy as np
import pytest

from tasks.network.batches import bucketed_dataset
from tasks.texts.padded import PaddedFile
from tests.support.small_reviews import make_padded, write_parts


@pytest.fixture
def texts(tmp_path) -> PaddedFile:
    return write_parts(tmp_path / "texts.parquet", make_padded(120, maxlen=100, seed=3))


def test_each_batch_has_one_length_and_matching_labels(texts):
    labels = {tuple(row[row > 0]): label for row, label in zip(texts[0].tokens, texts[0].labels, strict=True)}
    seen = 0
    for tokens, batch_labels in bucketed_dataset(texts, 16, bucketing=True, rng=np.random.default_rng(1)):
        assert tokens.shape[1] in (32, 64, 96, 100)
        for row, label in zip(tokens.numpy(), batch_labels.numpy()[:, 0], strict=True):
            assert labels[tuple(row[row > 0])] == label
            seen += 1
    assert seen == 120
    assert {tokens.shape[1] for tokens, _ in bucketed_dataset(texts, 16, bucketing=False)} == {100}


def test_the_seed_determines_the_order_of_the_texts(tmp_path):
    parts = write_parts(tmp_path / "p.parquet", *(make_padded(20, maxlen=32, seed=seed) for seed in range(4)))
    orders = [
        np.concatenate([tokens.numpy()[:, -1] for tokens, _ in bucketed_dataset(parts, 8, bucketing=True, rng=rng)])
        for rng in map(np.random.default_rng, (1, 1, 2))
    ]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    assert sorted(orders[0]) == sorted(orders[2])


def test_each_pass_reads_all_texts_in_another_order(texts):
    rng = np.random.default_rng(1)
    dataset = bucketed_dataset(texts, 16, bucketing=True, rng=rng, passes=3)
    tokens = [tuple(row[row > 0]) for batch, _ in dataset for row in batch.numpy()]
    passes = [tokens[start : start + 120] for start in (0, 120, 240)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(passes[2])
    assert passes[0] != passes[1] != passes[2]
    assert len(dataset) == sum(1 for _ in dataset)
