"""Contest: a challenger against the champion on the same reviews, judged so that chance crowns nobody."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.core.settings import PromotionSettings
from tasks.registry.versions import CHALLENGER, CHAMPION

# SciPy is imported inside the functions that need it: a cached run never pays for it.


@dataclass(frozen=True)
class Candidate:
    """A registered model that would be champion.

    Attributes:
        version: its number in the registry.
        accuracy: on its own test reviews.
        is_trial: it saw a part of the reviews only.
    """

    version: int
    accuracy: float
    is_trial: bool


@dataclass(frozen=True)
class Contest:
    """Two models on the same reviews, of any number of labels.

    Attributes:
        challenger: the version that would be champion.
        champion: the version that is to be beaten.
        challenging: (n,) bool, where the challenger is right.
        defending: (n,) bool, where the champion is.
        left_out: how many of the challenger's test reviews the champion had learnt, so that they are not among the n.
    """

    challenger: int
    champion: int
    challenging: np.ndarray
    defending: np.ndarray
    left_out: int


def share_of_alpha(alpha: float, attempt: int | np.ndarray) -> Any:
    """Return the level at which the k-th attempt is tested: alpha / (k (k + 1)).

    All levels together come to alpha, so a champion is dethroned by chance with at most this probability, however many
    challengers come (alpha spending: Lan and DeMets, 1983).

    Args:
        alpha: the probability of one false champion at most.
        attempt: k, from 1.
    """
    return alpha / (attempt * (attempt + 1))


def chance_of_lead(only_challenger: int | np.ndarray, only_champion: int | np.ndarray) -> Any:
    """Return how likely so large a lead is, if both were equally good: McNemar's exact test, one-sided.

    Of the reviews on which one alone is right, each is the challenger's with probability 1/2 (McNemar, 1947).

    Args:
        only_challenger: how many reviews the challenger alone got right.
        only_champion: how many the champion alone got right.
    """
    from scipy.stats import binom

    return binom.sf(np.asarray(only_challenger) - 1, np.add(only_challenger, only_champion), 0.5)


def reason_to_refuse(candidate: Candidate, settings: PromotionSettings) -> str | None:
    """Return why a candidate may be neither champion nor challenger, or None."""
    name = f"Version {candidate.version}"
    if candidate.is_trial:
        return f"{name} is a trial on a part of the reviews (data.max_reviews); none is promoted."
    if candidate.accuracy < settings.min_accuracy:
        return (
            f"{name} has a test accuracy of {candidate.accuracy:.4f}; a champion must have {settings.min_accuracy} "
            "(promotion.min_accuracy)."
        )
    return None


def decide(contest: Contest, attempt: int, settings: PromotionSettings) -> dict[str, Any]:
    """Decide whether a challenger becomes the champion: if it is better by McNemar's test at its share of alpha.

    Args:
        contest: it against the champion.
        attempt: which challenger of this champion it is, from 1.
        settings: alpha.

    Returns:
        "decision" (champion or challenger), "reason" in words, "against", the champion's version, "attempt", "reviews",
        "left_out", "difference" of the accuracies, "only_first" and "only_second", the reviews that the challenger or
        the champion alone got right, "p_value" and "level", what it had to be below.
    """
    name = f"Version {contest.challenger}"
    first, second = contest.challenging, contest.defending
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    difference, level = float(first.mean() - second.mean()), share_of_alpha(settings.alpha, attempt)
    p_value = float(chance_of_lead(only_first, only_second))
    measured = (
        f"{100 * difference:+.2f} points of accuracy on {len(first):,} reviews, p = {p_value:.3g} where "
        f"{level:.3g} was asked for (challenger {attempt} of this champion)"
    )
    is_better = difference > 0 and p_value < level
    beside = (
        f"the champion before it, version {contest.champion}"
        if is_better
        else f"the champion, version {contest.champion}"
    )
    return {
        "decision": CHAMPION if is_better else CHALLENGER,
        "reason": f"{name} is better than {beside}: {measured}."
        if is_better
        else f"{name} is not better than {beside}, beyond chance: {measured}.",
        "against": contest.champion,
        "attempt": attempt,
        "reviews": len(first),
        "left_out": contest.left_out,
        "difference": difference,
        "only_first": only_first,
        "only_second": only_second,
        "p_value": p_value,
        "level": level,
    }


def count_attempts(records: list[dict[str, Any]], champion: int, reviews: int) -> int:
    """Return how many challengers were tested against a champion on much the same test reviews.

    Test reviews grow with the data. Those of earlier contests count as the same as long as they are at least half as
    many: so adding one a night does not begin the count anew, and new ones that outnumber them do.

    Args:
        records: the decisions on all other versions.
        champion: the version that was to be beaten.
        reviews: the test reviews now.
    """
    return sum(
        record.get("against") == champion and "p_value" in record and 2 * record["reviews"] >= reviews
        for record in records
    )
