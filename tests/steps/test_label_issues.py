import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.label_check import estimate_shares, rank_labels


def confident(rng, labels: np.ndarray, count: int) -> np.ndarray:
    """Probabilities that predict (n,) labels correctly, for a tenth of them with low confidence."""
    logits = rng.normal(0, 0.01, (len(labels), count))
    logits[np.arange(len(labels)), labels] += np.where(rng.random(len(labels)) < 0.9, 3, 0.5)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("count", [2, 5])
def test_planted_wrong_labels_are_ranked_first_and_their_share_is_estimated(rng, count):
    true = np.arange(1000) % count
    probabilities, labels, planted = confident(rng, true, count), true.copy(), np.flatnonzero(true == 1)[:40]
    labels[planted] = 0
    is_first = np.isin(np.argsort(-rank_labels(labels, probabilities)[1]), planted)
    assert is_first[:30].all()
    assert is_first[:50].sum() == 40
    first, second, *_ = estimate_shares(labels, probabilities, [str(label) for label in range(count)])
    assert first["rows"] == (labels == 0).sum()
    assert first["wrong"] == pytest.approx(40 / first["rows"], abs=0.02)
    assert first["ci95"][0] < 40 / first["rows"] < first["ci95"][1]
    assert second["wrong"] < 0.01


def test_a_rare_label_does_not_dominate_the_ranking(rng):
    labels = np.array([0] * 950 + [1] * 50)
    given = rng.beta(np.where(labels, 4, 20), np.where(labels, 4, 2))  # the rare label gets a lower probability
    probabilities = np.where(labels == 1, [1 - given, given], [given, 1 - given]).T
    ranked_by_probability, ranked = np.argsort(given), np.argsort(-rank_labels(labels, probabilities)[1])
    assert (labels[ranked_by_probability[:20]] == 1).mean() > 0.8
    assert (labels[ranked[:20]] == 1).mean() <= 0.5


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2**32 - 1)), min_size=1, max_size=30))
def test_estimated_shares_lie_in_their_interval_and_between_0_and_1(rows):
    labels = np.array([0, 1, 2, *(label for label, _ in rows)])
    seeds = np.random.default_rng([seed for _, seed in rows])
    probabilities = seeds.dirichlet(np.full(3, 0.3), len(labels))
    for its in estimate_shares(labels, probabilities, ["a", "b", "c"]):
        low, high = its["ci95"]
        assert 0 <= low <= its["wrong"] <= high <= 1
    likelier, contradiction = rank_labels(labels, probabilities)
    assert (likelier == labels)[probabilities.argmax(axis=1) == labels].all()
    assert (contradiction[likelier != labels] >= 0.5).all()
    assert ((contradiction >= 0) & (contradiction <= 1)).all()
