"""Ranking: members of a comparison ordered by validation loss, and tests of each pair."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from tasks.evaluation.metrics import compare, wilson_interval


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of tests, in the same order.

    Holm's step-down procedure (S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 6, 1979): the i-th of m ascending p-values, from 0, is multiplied by m - i, and is at least the one
    before and at most 1. It needs no assumption about how the tests depend on each other.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def compare_pairs(labels: np.ndarray, verdicts: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return McNemar's exact test of each pair of classifiers: `compare`, "first", "second" and `holm` as "adjusted".

    Args:
        labels: (n,) integers from 0.
        verdicts: (n,) verdicts of each classifier, by its name.
    """
    pairs = [
        {"first": first, "second": second} | compare(labels, verdicts[first], verdicts[second])
        for first, second in itertools.combinations(verdicts, 2)
    ]
    adjusted = holm([pair["p_value"] for pair in pairs])
    return [pair | {"adjusted": p_value} for pair, p_value in zip(pairs, adjusted, strict=True)]


def summarise_runs(runs: Sequence[dict[str, Any]], tested: int) -> dict[str, Any]:
    """Return the `MemberSummary` of runs that differ in their seeds; `tested` is the number of test reviews."""
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
    """Return the members in the order of their validation loss, and failed ones last."""
    finished = [member for member in members if member["summary"]]
    failed = [member for member in members if not member["summary"]]
    return sorted(finished, key=lambda member: float(member["summary"]["validation_loss"])) + failed


def chosen_run(member: dict[str, Any]) -> int:
    """Return the index of the run with the lowest validation loss, the earliest of equal ones."""
    losses = [run["validation_loss"] for run in member["runs"]]
    return losses.index(min(losses))
