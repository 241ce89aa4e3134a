"""Standings: the members of a comparison as a table, in the order in which the validation reviews put them."""

from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Any

from tasks.judging.metrics import wilson_interval

COMPARISON = "comparison.json"


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
