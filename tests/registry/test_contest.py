import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from tasks.core.run_settings import PromotionSettings
from tasks.evaluation.predictions import Scores
from tasks.evaluation.significance import compare
from tasks.registry.contest import (
    Contender,
    Contest,
    NotComparable,
    count_attempts,
    decide,
    look_up,
    read_held_out,
    reason_to_refuse,
    require_labels,
    share_of_alpha,
    write_held_out,
)
from tasks.registry.versions import Decision
from tasks.texts.downloaded import Identities


def wrong(count: int, first: int = 0) -> np.ndarray:
    """Return which of 1,000 answers are right: all except `count` of them from `first` on."""
    rows = np.arange(1000)
    return (rows < first) | (rows >= first + count)


def version(number: int, **tags: str) -> SimpleNamespace:
    """A version as MLflow's client returns it."""
    return SimpleNamespace(version=str(number), tags=tags)


def contender_with(answers: np.ndarray, probabilities: np.ndarray, **tags: str) -> Contender:
    """Return version 1 with these scores of its test texts."""
    tags = {"threshold": "0.5", "trial": "false", "labels": '["bad", "good"]'} | tags
    reviews = Identities(np.arange(len(answers)).astype(np.uint64), np.array([], np.uint64))
    return Contender(version(1, **tags), Scores(answers, probabilities), reviews)


def contest(challenging: np.ndarray, defending: np.ndarray) -> Contest:
    is_right = np.ones(1000, dtype=bool)
    return Contest(2, 1, 1000, 0, compare(is_right, challenging, defending, one_sided=True))


@pytest.mark.parametrize(
    ("held", "attempt", "decision", "reason"),
    [
        (contest(wrong(100), wrong(160, 500)), 1, "champion", " better than the champion before it, version 1: +6.00"),
        (
            contest(wrong(150), wrong(160, 500)),
            1,
            "challenger",
            "not significantly better than the champion, version 1",
        ),
        (contest(wrong(100), wrong(100)), 1, "challenger", "p = 1, "),
        (contest(wrong(160), wrong(100, 500)), 1, "challenger", "-6.00 points"),
        (contest(wrong(100), wrong(160, 500)), 30, "challenger", "challenger 30 of this champion"),
    ],
)
def test_only_a_significantly_better_model_becomes_champion(held, attempt, decision, reason):
    verdict = decide(held, attempt, PromotionSettings())
    assert verdict.decision == decision
    assert verdict.against == 1
    assert re.search(reason.replace("+", r"\+"), verdict.reason)


def test_promotion_uses_the_p_value_of_the_chosen_metric():
    paired = {"metric": "f1_macro", "difference": 0.03, "ci95": [0.01, 0.05], "p_value": 0.002}
    held = contest(wrong(150), wrong(150))
    held = replace(held, compared=held.compared | paired)
    decision = decide(held, 1, PromotionSettings())
    assert (decision.decision, decision.metric, decision.p_value) == ("champion", "f1_macro", 0.002)
    assert "+3.00 points of f1_macro (95% interval +1.00 to +5.00) on 1,000 texts" in decision.reason
    assert decide(held, 9, PromotionSettings()).decision == "challenger"
    held = replace(held, compared=held.compared | {"metric": "log_loss"})
    reason = decide(held, 1, PromotionSettings()).reason
    assert "+0.0300 nats of log_loss (95% interval +0.0100 to +0.0500) on 1,000 texts" in reason


@pytest.mark.parametrize(
    ("accuracy", "is_trial", "reason"),
    [
        (0.6, False, "a champion must have 0.7"),
        (0.99, True, "was trained on a part of the texts"),
        (0.7, False, None),
    ],
)
def test_weak_models_and_trial_runs_are_refused(accuracy, is_trial, reason):
    labels = np.arange(100) % 2
    is_wrong = np.arange(100) >= round(100 * accuracy)
    its = contender_with(labels, np.where(labels ^ is_wrong, 0.9, 0.1), trial=str(is_trial).lower())
    refused = reason_to_refuse(its, None, PromotionSettings(min_accuracy=0.7))
    assert refused is None if reason is None else reason in refused


@pytest.mark.parametrize(
    ("metric", "value", "constant"),
    [
        (None, "accuracy of 0.9000", "0.9000"),
        ("f1_macro", "f1_macro of 0.4737", "0.4737"),
        ("roc_auc", "roc_auc of 0.5000", "0.5000"),
        ("average_precision", "average_precision of 0.9000", "0.9000"),
        ("log_loss", "log_loss of 0.3257", "0.3251"),
    ],
)
def test_a_champion_must_be_better_than_the_same_prediction_for_every_text(metric, value, constant):
    labels, settings = (np.arange(100) >= 10).astype(np.int8), PromotionSettings()
    refused = reason_to_refuse(contender_with(labels, np.full(100, 0.91)), metric, settings)
    assert f"has a test {value}; the same prediction for every text has {constant}" in refused
    assert "--evaluation.metric" in refused
    assert reason_to_refuse(contender_with(labels, np.where(np.arange(100) >= 5, 0.91, 0.4)), metric, settings) is None


def test_with_f1_a_champion_must_be_better_than_always_predicting_the_positive_label():
    labels, settings = (np.arange(100) >= 60).astype(np.int8), PromotionSettings()
    refused = reason_to_refuse(contender_with(labels, np.full(100, 0.91)), "f1", settings)
    assert "has a test f1 of 0.5714; the same prediction for every text has 0.5714" in refused
    assert reason_to_refuse(contender_with(labels, np.where(np.arange(100) >= 50, 0.9, 0.1)), "f1", settings) is None


def test_of_five_labels_a_champion_needs_more_than_the_share_of_the_most_frequent():
    labels, names = np.repeat(np.arange(5), 20).astype(np.int8), '["1", "2", "3", "4", "5"]'
    probabilities = np.full((100, 5), 0.2)
    probabilities[:25, 0] = 0.3
    its = contender_with(labels, probabilities, labels=names)
    assert "accuracy of 0.2000; the same prediction for every text has 0.2000" in reason_to_refuse(
        its, None, PromotionSettings()
    )
    probabilities[20:25, 1] = 0.4
    assert reason_to_refuse(contender_with(labels, probabilities, labels=names), None, PromotionSettings()) is None


def test_promotion_depends_on_the_alpha_setting():
    held = contest(wrong(100), wrong(125, 500))
    assert decide(held, 1, PromotionSettings(alpha=0.01)).decision == "challenger"
    assert decide(held, 1, PromotionSettings(alpha=0.2)).decision == "champion"


def test_the_promotion_test_is_exact_and_one_sided():
    def p_value(only_challenger: int, only_champion: int) -> float:
        held = contest(wrong(only_champion), wrong(only_challenger, 500))
        assert (held.compared["only_first"], held.compared["only_second"]) == (only_challenger, only_champion)
        return decide(held, 1, PromotionSettings()).p_value

    # Of ten texts that only one model gets right, nine or ten favour the challenger: (10 + 1) / 2^10.
    assert p_value(9, 1) == pytest.approx(11 / 2**10)
    assert p_value(1, 9) == pytest.approx(1 - 1 / 2**10)
    assert p_value(0, 0) == 1


def test_the_shares_of_alpha_sum_to_alpha():
    shares = share_of_alpha(0.05, np.arange(1, 100_001))
    assert shares[0] == 0.025
    assert math.fsum(shares) == pytest.approx(0.05, rel=1e-4)
    assert math.fsum(shares) < 0.05


@pytest.mark.parametrize("accuracy", [0.75, 0.88])
def test_thirty_equal_challengers_rarely_replace_the_champion(rng, accuracy):
    """A month: 30 challengers, each as good as the champion, on the same 2,000 test reviews."""
    months, challengers, reviews, alpha = 4000, 30, 2000, 0.05
    right = rng.binomial(reviews, accuracy, (months, 1))  # answers of the champion, the same for all challengers
    only_challenger = rng.binomial(reviews - right, accuracy, (months, challengers))
    only_champion = rng.binomial(right, 1 - accuracy, (months, challengers))
    chance = binom.sf(only_challenger - 1, only_challenger + only_champion, 0.5)
    spent = (chance < share_of_alpha(alpha, np.arange(1, challengers + 1))).any(axis=1).mean()
    unspent = (chance < alpha).any(axis=1).mean()
    assert spent <= alpha
    assert unspent > 0.25


def test_a_better_challenger_usually_wins_at_the_tenth_attempt(rng):
    right = rng.binomial(5000, 0.85, 200)
    only_challenger, only_champion = rng.binomial(5000 - right, 0.88), rng.binomial(right, 0.12)
    won = binom.sf(only_challenger - 1, only_challenger + only_champion, 0.5) < share_of_alpha(0.05, 10)
    assert won.mean() > 0.5


def test_attempts_are_reset_once_new_test_texts_outnumber_the_old():
    tried = Decision(decision="challenger", against=1, p_value=0.4, reviews=1000)
    of_another = tried.model_copy(update={"against": 3})
    decisions = [tried, tried, of_another, Decision(decision="neither", against=1)]
    assert count_attempts(decisions, champion=1, reviews=1000) == 2
    assert count_attempts(decisions, champion=1, reviews=1100) == 2
    assert count_attempts(decisions, champion=1, reviews=2001) == 0


def test_held_out_scores_are_stored_with_the_identities_of_their_texts(tmp_path):
    scores = Scores(np.array([0, 1, 1], np.int8), np.array([0.1, 0.6, 0.4], np.float32))
    reviews = Identities(np.array([2**64 - 1, 5, 7], np.uint64), np.array([3], np.uint64))
    write_held_out(tmp_path, scores, reviews)
    again = read_held_out(tmp_path)
    assert again[1].tested.tolist() == [2**64 - 1, 5, 7]
    assert again[1].learnt.tolist() == [3]
    contender = Contender(version(4, threshold="0.5", trial="false", labels='["bad", "good"]'), *again)
    assert contender.measure("accuracy") == pytest.approx(2 / 3)
    assert contender.labels == ["bad", "good"]
    assert contender.verdicts(scores.probabilities).tolist() == [0, 1, 0]
    assert contender.answers_as(["good", "so so", "bad"], scores.probabilities)[0].tolist() == [2, 0, 2]
    with pytest.raises(NotComparable, match=r"labels that no longer exist \(bad\); .*--tracking.registered-model NAME"):
        contender.answers_as(["poor", "good"], scores.probabilities)


def test_a_metric_that_needs_every_label_is_refused_if_one_is_missing():
    require_labels(np.array([0, 2, 1]), ["a", "b", "c"], "f1_macro")
    require_labels(np.array([0, 2, 2]), ["a", "b", "c"], "accuracy")
    with pytest.raises(NotComparable, match=r"f1_macro needs texts of each label, and none of .* is labelled b"):
        require_labels(np.array([0, 2, 2]), ["a", "b", "c"], "f1_macro")


def test_three_labels_are_decided_by_probability_or_by_cost(tmp_path):
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], np.float32)
    scores, reviews = Scores(np.array([0, 1], np.int8), probabilities), np.array([[5, 7], [1, 2]], np.uint64)
    write_held_out(tmp_path, scores, Identities(*reviews))
    its = version(4, threshold="0.5", trial="false", labels='["a", "b", "c"]')
    contender = Contender(its, *read_held_out(tmp_path))
    assert contender.measure("accuracy") == 0.5
    assert [its.tolist() for its in contender.answers_as(["c", "b", "a"], probabilities)] == [
        [2, 0],
        probabilities[:, ::-1].tolist(),
    ]
    cost = '[["c", "a", 1], ["a", "b", 9], ["a", "c", 9]]'
    other = version(5, threshold="0.5", cost=cost, labels='["a", "b", "c"]')
    careful = Contender(other, contender.scores, contender.reviews)
    assert careful.verdicts(probabilities).tolist() == [1, 2], "the label with the lowest expected cost"
    again = look_up(np.array([7, 5], np.uint64), contender.reviews.tested, contender.scores.probabilities)
    assert again.tolist() == probabilities[::-1].tolist()


def test_scores_are_looked_up_by_text_in_any_order():
    known, probabilities = np.array([9, 2, 5], np.uint64), np.array([0.9, 0.2, 0.5])
    assert look_up(np.array([5, 9, 5], np.uint64), known, probabilities).tolist() == [0.5, 0.9, 0.5]
    assert look_up(np.array([5, 10], np.uint64), known, probabilities) is None
    assert look_up(np.array([1], np.uint64), known[:0], probabilities[:0]) is None
    assert look_up(np.array([], np.uint64), known, probabilities).tolist() == []
