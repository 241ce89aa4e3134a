import pytest

from tasks.evaluation.metrics import wilson_interval
from tasks.evaluation.ranking import chosen_run, rank_members, summarise_runs


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
