import numpy as np
import pytest

from tasks.evaluation.candidates import choose, is_better
from tasks.evaluation.findings import describe_choice
from tasks.evaluation.predictions import Scores

LABELS = np.tile(np.array([0, 1], np.int8), 200)
ROWS = np.arange(len(LABELS))


def scores(mistakes: int, confidence: float, first: int = 0) -> Scores:
    """Scores of 400 texts, of which `mistakes` are wrong, from the `first` on."""
    is_right = (first > ROWS) | (first + mistakes <= ROWS)
    return Scores(LABELS, np.where(is_right == (LABELS == 1), confidence, 1 - confidence).astype(np.float32))


@pytest.mark.parametrize(
    ("network", "linear", "considered", "chosen"),
    [
        (scores(40, 0.9), scores(80, 0.9), "best", "network"),
        (scores(80, 0.9), scores(40, 0.9), "best", "linear"),
        (scores(40, 0.9), scores(40, 0.9), "best", "linear"),
        (scores(80, 0.9), scores(40, 0.9), "network", "network"),
        # 10 and 11 mistakes on different texts: within a standard error.
        (scores(10, 0.97), scores(11, 0.97, first=200), "best", "linear"),
        # So are these, but the network has the better log loss.
        (scores(10, 0.97), scores(11, 0.6, first=200), "best", "network"),
        # With one mistake more, the log loss does not count.
        (scores(11, 0.97), scores(10, 0.6, first=200), "best", "linear"),
        # A better log loss does not outweigh a worse accuracy.
        (scores(80, 0.8), scores(40, 0.6), "best", "linear"),
    ],
)
def test_the_network_is_chosen_if_required_or_better_by_a_standard_error(network, linear, considered, chosen):
    candidates = choose(linear, network, "accuracy", 0.5, considered)
    assert candidates.chosen == chosen
    said = describe_choice(candidates)
    assert said.startswith(f"The {'linear model' if chosen == 'linear' else 'network'} serves: validation accuracy ")
    for its in (candidates.network, candidates.linear):
        assert f"{its.value:.4f} (log loss {its.log_loss:.4f})" in said
    assert ("--promotion.candidates network" in said) == (chosen == "linear")
    assert ("--promotion.candidates best" in said) == (considered == "network")


def test_the_log_loss_is_shown_once():
    said = describe_choice(choose(scores(80, 0.8), scores(40, 0.6), "log_loss", 0.5, "best"))
    assert said.count("log") == 1


def test_a_small_lead_counts_on_many_texts_but_not_on_few():
    def resized(its: Scores, times: int) -> Scores:
        return Scores(np.tile(its.labels, times), np.tile(its.probabilities, times))

    network, linear = scores(30, 0.9), scores(36, 0.9, first=200)
    assert not is_better(network, linear, "accuracy", 0.5)
    assert is_better(resized(network, 20), resized(linear, 20), "accuracy", 0.5)
    assert is_better(resized(network, 20), resized(linear, 20), "f1_macro", 0.5)
