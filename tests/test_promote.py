import re

import numpy as np
import pytest

from tasks.core.settings import PromotionSettings
from tasks.promote import Candidate, decide

LABELS = np.array([0, 1] * 500)


def candidate(version: int, wrong: int, first: int = 0, **values) -> Candidate:
    """A candidate that is wrong on `wrong` of 1,000 reviews, from review `first` on."""
    predicted = LABELS.copy()
    predicted[first : first + wrong] = 1 - predicted[first : first + wrong]
    facts = {"dataset": "imdb", "test_set": "a", "is_trial": False} | values
    return Candidate(version=version, labels=LABELS, predicted=predicted, **facts)


@pytest.mark.parametrize(
    ("challenger", "champion", "decision", "reason"),
    [
        (candidate(1, 100), None, "champion", "the first champion"),
        (candidate(2, 100), candidate(1, 160, 500), "champion", "better than the champion before it, version 1: +6.00"),
        (candidate(2, 150), candidate(1, 160, 500), "challenger", "not better than the champion, version 1"),
        (candidate(2, 100), candidate(1, 100), "challenger", "p = 1"),
        (candidate(2, 160), candidate(1, 100, 500), "challenger", "-6.00 points"),
        (candidate(1, 400), None, "challenger", "a champion must have 0.7"),
        (candidate(2, 10, test_set="b"), candidate(1, 200), "challenger", "tested on other reviews"),
        (candidate(2, 10, dataset="sample"), candidate(1, 200), "challenger", r"reviews \(sample\)"),
        (candidate(1, 10, is_trial=True), None, "challenger", "a trial on a part of the reviews"),
    ],
)
def test_a_model_becomes_champion_only_if_it_is_good_and_better(challenger, champion, decision, reason):
    verdict = decide(challenger, champion, PromotionSettings())
    assert verdict["decision"] == decision
    assert verdict["against"] == (champion.version if champion else None)
    assert re.search(reason.replace("+", r"\+"), verdict["reason"])


def test_how_sure_a_promotion_must_be_is_a_setting():
    pair = candidate(2, 100), candidate(1, 125, 500)
    assert decide(*pair, PromotionSettings(alpha=0.01))["decision"] == "challenger"
    assert decide(*pair, PromotionSettings(alpha=0.2))["decision"] == "champion"
