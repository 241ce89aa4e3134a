import re

import pytest

from tasks.evaluation.sentences import describe_comparison, describe_fit


def history(*losses: float) -> list[dict]:
    return [{"epoch": place + 1, "loss": 1 / (place + 1), "val_loss": loss} for place, loss in enumerate(losses)]


def test_overfitting_is_reported_only_if_there_is_any():
    text = describe_fit(history(0.5, 0.4, 0.6), 2)
    assert text.startswith("The network overfits after epoch 2: by epoch 3 the validation loss rose from 0.400")
    assert "still falling" in describe_fit(history(0.5, 0.4), 2)
    assert "overfits" not in describe_fit(history(0.5, 0.4), 2)
    assert "One epoch" in describe_fit(history(0.5), 1)


@pytest.mark.parametrize(
    ("difference", "p_value", "expected"),
    [
        (-0.05, 1e-9, r"is worse than the baseline by 5.00 points.*p < 0.001"),
        (0.02, 0.01, r"is better than the baseline by 2.00 points.*p = 0.010"),
        (0.02, 0.2, r"do not differ significantly \(\+2.00 points.*p = 0.200"),
    ],
)
def test_a_comparison_says_who_is_better_and_how_sure_that_is(difference, p_value, expected):
    compared = {"difference": difference, "p_value": p_value, "only_first": 1000, "only_second": 20}
    text = describe_comparison(compared, "the baseline")
    assert "1,000 reviews" in text
    assert re.search(expected, text)
