import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.metrics import compare, wilson_interval
from tasks.evaluation.ranking import chosen_run, compare_pairs, holm, rank_members, summarise_runs


def ran(accuracy: float, loss: float, best: int = 2, seconds=(3.0, 1.0, 1.0)) -> dict:
    history = [{"epoch": number, "seconds": its} for number, its in enumerate(seconds, 1)]
    facts = {"accuracy": accuracy, "validation_loss": loss, "parameters": 10}
    return facts | {"best_epoch": best, "history": history}


def test_seeds_are_summed_up_as_mean_and_spread():
    its = summarise_runs([ran(0.8, 0.5), ran(0.9, 0.3, best=1)], tested=100)
    assert (its["accuracy"], its["validation_loss"]) == (pytest.approx(0.85), pytest.approx(0.4))
    assert its["accuracy_spread"] == pytest.approx(0.0707, abs=1e-4)
    assert its["ci95"] == wilson_interval(85, 100)
    assert its["seconds"] == 1.0, "the first epoch, which traces the step too, does not stand for the others"
    assert its["seconds_to_best"] == pytest.approx((4.0 + 3.0) / 2)
    assert its["best_epochs"] == [2, 1]


def test_one_seed_has_no_spread():
    its = summarise_runs([ran(0.8, 0.5)], tested=100)
    assert (its["accuracy_spread"], its["validation_spread"]) == (None, None)


def test_the_validation_loss_ranks_whatever_the_test_says_and_who_failed_comes_last():
    lucky, steady = (
        {"name": name, "summary": summarise_runs([run], 100)}
        for name, run in (("lucky", ran(0.95, 0.6)), ("steady", ran(0.85, 0.3)))
    )
    failed = {"name": "failed", "summary": None}
    assert [its["name"] for its in rank_members([failed, lucky, steady])] == ["steady", "lucky", "failed"]


def test_a_member_is_tested_by_the_seed_that_validation_prefers():
    assert chosen_run({"runs": [ran(0.9, 0.5), ran(0.7, 0.2), ran(0.8, 0.2)]}) == 1


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
