import numpy as np
import pytest
from scipy.special import expit, softmax

from tasks.core.errors import InputError
from tasks.core.run_settings import ThresholdSettings
from tasks.evaluation.predictions import (
    Scores,
    cost_table,
    decide_labels,
    decision_rule,
    divide_logits,
    fit_temperature,
)


def overconfident(rng, labels: int, count: int = 4000) -> Scores:
    """Return scores whose logits are three times as large as they should be."""
    logits = rng.normal(0, 1, (count, labels))
    drawn = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(max=labels - 1)
    if labels == 2:
        return Scores(drawn, expit(3 * (logits[:, 1] - logits[:, 0])).astype(np.float32))
    return Scores(drawn, softmax(3 * logits, axis=1).astype(np.float32))


@pytest.mark.parametrize("labels", [2, 3])
def test_temperature_scaling_recovers_the_factor_and_changes_no_label(rng, labels):
    scores = overconfident(rng, labels)
    temperature = fit_temperature(scores)
    assert temperature == pytest.approx(3, rel=0.1)
    calibrated = Scores(scores.labels, divide_logits(scores.probabilities, temperature))
    assert (calibrated.verdicts(0.5) == scores.verdicts(0.5)).all()
    assert divide_logits(calibrated.probabilities, 1 / temperature) == pytest.approx(scores.probabilities, abs=1e-6)


def test_calibration_on_few_correct_texts_does_not_reach_certainty():
    scores = Scores(np.array([0, 1] * 10), np.array([0.2, 0.8] * 10, np.float32))
    assert divide_logits(scores.probabilities, fit_temperature(scores)).max() == pytest.approx(21 / 22, abs=1e-3)


@pytest.mark.parametrize("names", [["ham", "spam"], ["ham", "news", "spam"]])
def test_the_label_with_the_lowest_expected_cost_is_chosen(rng, names):
    settings = ThresholdSettings(cost=[("spam", "ham", 9)])
    each = rng.dirichlet(np.ones(len(names)), 1000)
    probabilities = each[:, 1] if len(names) == 2 else each
    decided = decide_labels(probabilities, decision_rule(settings, names))
    assert (decided == (each @ cost_table(settings, names).T).argmin(axis=1)).all()
    assert (decided == len(names) - 1).sum() < (each.argmax(axis=1) == len(names) - 1).sum()


def test_costs_accept_numeric_labels_as_numbers():
    costs = cost_table(ThresholdSettings(cost=[(1, 0, 3)]), ["0", "1"])
    assert costs.tolist() == [[0, 1], [3, 0]]


def test_a_cost_with_an_unknown_or_identical_label_is_refused():
    for predicted in ("junk", "ham"):
        with pytest.raises(InputError, match=f"'{predicted}' instead of 'ham': expected two different labels"):
            decision_rule(ThresholdSettings(cost=[(predicted, "ham", 9)]), ["ham", "spam"])
