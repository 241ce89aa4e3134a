"""Standings: the members of a comparison as a table, in the order in which the validation reviews put them."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from tasks.evaluation.metrics import compare, wilson_interval


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values fit for the number of tests: all below alpha are right at once, but for a chance of alpha.

    Holm's step-down procedure (S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 6, 1979): of m p-values in rising order the i-th, from 0, is multiplied by m - i, is at least the one
    before, and at most 1. Unlike others, it asks nothing of how the tests depend on each other.

    Args:
        p_values: in any order.

    Returns:
        The adjusted p-values, in the same order.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def compare_pairs(labels: np.ndarray, verdicts: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return McNemar's exact test of each pair of classifiers.

    Args:
        labels: (n,) integers from 0.
        verdicts: (n,) of each classifier, by its name.

    Returns:
        For each pair "first", "second", what `compare` returns, and "adjusted", its p-value by `holm`.
    """
    pairs = [
        {"first": first, "second": second} | compare(labels, verdicts[first], verdicts[second])
        for first, second in itertools.combinations(verdicts, 2)
    ]
    adjusted = holm([pair["p_value"] for pair in pairs])
    return [pair | {"adjusted": p_value} for pair, p_value in zip(pairs, adjusted, strict=True)]


def summarise_runs(runs: Sequence[dict[str, Any]], tested: int) -> dict[str, Any]:
    """Return what the runs of one member, one a seed, came to together.

    Args:
        runs: of each "accuracy" on the test reviews, "validation_loss", "parameters", "best_epoch" and "history", with
            the "seconds" of every epoch.
        tested: how many test reviews there are.

    Returns:
        Means over the runs: "accuracy", "validation_loss", "seconds_to_best" (up to the end of the best epoch);
        "accuracy_spread" and "validation_spread", their standard deviations, null of one run; "ci95", Wilson's interval
        of the mean accuracy: what so many test reviews leave open, on top of which comes the spread; "seconds", the
        median over all epochs; "best_epochs"; "parameters".
    """
    accuracies, losses = ([run[name] for run in runs] for name in ("accuracy", "validation_loss"))
    to_best = [sum(epoch["seconds"] for epoch in run["history"][: run["best_epoch"]]) for run in runs]
    return {
        "accuracy": mean(accuracies),
        "accuracy_spread": stdev(accuracies) if len(runs) > 1 else None,
        "ci95": wilson_interval(round(mean(accuracies) * tested), tested),
        "validation_loss": mean(losses),
        "validation_spread": stdev(losses) if len(runs) > 1 else None,
        "seconds": median(epoch["seconds"] for run in runs for epoch in run["history"]),
        "seconds_to_best": mean(to_best),
        "best_epochs": [run["best_epoch"] for run in runs],
        "parameters": runs[0]["parameters"],
    }


def rank_members(members: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the members by their validation loss, the lowest first, and those that failed last.

    Args:
        members: of each "summary", as `summarise_runs` returns it, or null where it failed.
    """
    finished = [member for member in members if member["summary"]]
    failed = [member for member in members if not member["summary"]]
    return sorted(finished, key=lambda member: float(member["summary"]["validation_loss"])) + failed


def chosen_run(member: dict[str, Any]) -> int:
    """Return the place of the member's run with the lowest validation loss, the earliest of equals."""
    losses = [run["validation_loss"] for run in member["runs"]]
    return losses.index(min(losses))
