"""Contest: a challenger against the champion on the same texts, with few promotions by chance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.core.settings import PromotionSettings
from tasks.registry.versions import CHALLENGER, CHAMPION, Decision


@dataclass(frozen=True)
class Contest:
    """Two versions on the same texts, with any number of labels.

    Attributes:
        reviews: number of texts.
        left_out: how many of the challenger's test texts are not among them, because the champion was trained on them.
        compared: the result of `compare_scores`, one-sided, with the challenger first.
    """

    challenger: int
    champion: int
    reviews: int
    left_out: int
    compared: dict[str, Any]


def share_of_alpha(alpha: float, attempt: int | np.ndarray) -> Any:
    """Return the level at which the k-th attempt, from 1, is tested: alpha / (k (k + 1)).

    All levels add up to alpha, so a champion is replaced by chance with at most this probability, however many
    challengers there are (alpha spending: Lan and DeMets, 1983).
    """
    return alpha / (attempt * (attempt + 1))


def reason_to_refuse(version: int, accuracy: float, is_trial: bool, settings: PromotionSettings) -> str | None:
    """Return why a version may be neither champion nor challenger, or None.

    `accuracy` is that on its own test texts; a trial was trained on a part of the texts only.
    """
    if is_trial:
        return f"Version {version} is a trial on a part of the texts (data.max_reviews); trials are not promoted."
    if accuracy < settings.min_accuracy:
        return (
            f"Version {version} has a test accuracy of {accuracy:.4f}; a champion must have {settings.min_accuracy} "
            "(promotion.min_accuracy)."
        )
    return None


def decide(contest: Contest, attempt: int, settings: PromotionSettings) -> Decision:
    """Make the challenger the champion if it is better by the paired test at its share of alpha.

    `attempt` says which challenger of this champion it
    is, from 1.
    """
    compared, level = contest.compared, share_of_alpha(settings.alpha, attempt)
    low, high = compared["ci95"]
    is_better = compared["difference"] > 0 and compared["p_value"] < level
    verdict = "better than the champion before it" if is_better else "not significantly better than the champion"
    return Decision(
        decision=CHAMPION if is_better else CHALLENGER,
        reason=f"Version {contest.challenger} is {verdict}, version {contest.champion}: "
        f"{100 * compared['difference']:+.2f} points of {compared['metric']} (95% interval {100 * low:+.2f} to "
        f"{100 * high:+.2f}) on {contest.reviews:,} texts, p = {compared['p_value']:.3g}, required below {level:.3g} "
        f"(challenger {attempt} of this champion).",
        against=contest.champion,
        attempt=attempt,
        reviews=contest.reviews,
        left_out=contest.left_out,
        **compared,
        level=level,
    )


def count_attempts(decisions: list[Decision], champion: int, reviews: int) -> int:
    """Return how many challengers were tested against a champion on much the same test texts.

    Test texts grow with the data. Those of earlier contests count as the same while they are at least half as many as
    now: adding one a night does not restart the count, and new ones that outnumber the old ones do.

    `decisions` are those on all other versions; `reviews` is the number of test texts now.
    """
    return sum(
        decision.against == champion and decision.reviews is not None and 2 * decision.reviews >= reviews
        for decision in decisions
    )
