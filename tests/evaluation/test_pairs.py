import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.metrics import compare
from tasks.evaluation.ranking import compare_pairs, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_holm_gives_what_his_procedure_gives_by_hand():
    # In rising order 0.005 * 4, 0.01 * 3, then 0.03 * 2, and 0.04 * 1, which is below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES)
def test_holm_never_helps_and_never_exceeds_bonferroni(p_values):
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before)


@given(P_VALUES, st.floats(0.001, 0.5))
def test_what_is_below_alpha_is_what_stepping_down_rejects(p_values, alpha):
    rejected, count = set(), len(p_values)
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        if (count - rank) * p_values[place] > alpha:
            break
        rejected.add(place)
    assert {place for place, p_value in enumerate(holm(p_values)) if p_value <= alpha} == rejected


def test_each_pair_is_tested_once_on_the_same_reviews(rng):
    labels = rng.integers(0, 2, 400)
    verdicts = {
        name: np.where(rng.random(400) < share, labels, 1 - labels)
        for name, share in zip("abc", (0.9, 0.85, 0.6), strict=True)
    }
    pairs = compare_pairs(labels, verdicts)
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in pairs:
        alone = compare(labels, verdicts[pair["first"]], verdicts[pair["second"]])
        assert {name: pair[name] for name in alone} == alone
        assert pair["adjusted"] >= pair["p_value"]
    assert compare_pairs(labels, {"a": labels}) == []
