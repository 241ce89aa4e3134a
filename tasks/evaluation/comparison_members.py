"""A comparison of networks: its members, their settings and outcomes, their ranking, and tests of each pair."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from tasks.core.command_settings import CompareSettings
from tasks.core.errors import InputError
from tasks.core.run_settings import RunSettings
from tasks.evaluation.metrics import wilson_interval
from tasks.evaluation.optuna_search import OWN_SECTIONS, SHARED
from tasks.evaluation.significance import compare
from tasks.store.artifact import RunArtifacts
from tasks.store.step_log import StepEntry


@dataclass(frozen=True)
class Member:
    """One network of a comparison: its unique name, and the settings of each seed, the first as in a single run."""

    name: str
    runs: tuple[RunSettings, ...]


class MemberRun(NamedTuple):
    """The artifacts of one run of a member, and its step log."""

    artifacts: RunArtifacts
    steps: list[StepEntry]


@dataclass(frozen=True)
class Outcome:
    """A member's finished runs, and why the next one failed, if it did."""

    member: Member
    runs: list[MemberRun]
    failure: str | None = None


def members_of(settings: CompareSettings, presets: Mapping[str, Mapping[str, Any]]) -> list[Member]:
    """Return the networks to compare: each cell in each direction, and each preset.

    Cells share all other settings, so they have the same data and budget. A preset has its own vocabulary, network and
    training, on the comparison's texts. Of equal members the first one stays. `presets` has their settings by name.
    Raise InputError if a member is invalid, or there are fewer than two members, a search's included.
    """
    found: dict[tuple[RunSettings, ...], Member] = {}
    for name, values in values_of(settings, presets):
        member = build_member(name, values, settings.seeds)
        found.setdefault(member.runs, member)
    if len(found) + bool(settings.trials) < 2:
        asked = ", ".join(member.name for member in found.values()) or "no network"
        raise InputError(
            f"there is nothing to compare: only {asked} is asked for; widen --cells, --ways or --presets, or search "
            "with --trials"
        )
    return list(found.values())


def values_of(
    settings: CompareSettings, presets: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the settings, as JSON values, of each member."""
    shared = shared_settings(settings)
    for cell, way in itertools.product(settings.cells, settings.ways):
        model = shared["model"] | {"cell": cell, "bidirectional": way == "two"}
        if cell == "simple_rnn":
            model["recurrent_activation"] = None  # it has no gates
        yield f"{cell} {'bidirectional' if way == 'two' else 'unidirectional'}", shared | {"model": model}
    reviews = {name: value for name, value in shared["data"].items() if name in SHARED}
    for name in settings.presets:
        if validate_run(f"--presets {name}", presets[name]).auto.minutes:
            raise InputError(f"--presets {name}: it chooses one of several models; leave it out of the comparison")
        own = {section: presets[name].get(section, {}) for section in OWN_SECTIONS}
        yield f"preset {name}", shared | own | {"data": own["data"] | reviews}


def shared_settings(settings: CompareSettings) -> dict[str, Any]:
    """Return the settings that the members share, as JSON values."""
    return settings.model_dump(mode="json", include=set(RunSettings.model_fields))


def found_member(name: str, settings: CompareSettings, point: Mapping[str, str]) -> Member:
    """Return a trial as a member: the shared settings with those in `point`; raise InputError if a value is invalid."""
    values = shared_settings(settings)
    for setting, value in point.items():
        section, _, field = setting.partition(".")
        values[section][field] = None if value == "none" else value
    return build_member(name, values, settings.seeds)


def build_member(name: str, values: Mapping[str, Any], seeds: int) -> Member:
    """Return a member with each run's number, from 0, added to its seeds; raise InputError if a value is invalid."""
    run, runs = validate_run(name, values), []
    for number in range(seeds):
        model = run.model.model_copy(update={"seed": run.model.seed + number})
        training = run.training.model_copy(update={"seed": run.training.seed + number})
        runs.append(run.model_copy(update={"model": model, "training": training}))
    return Member(name, tuple(runs))


def validate_run(name: str, values: Mapping[str, Any]) -> RunSettings:
    """Return settings given as JSON values; raise InputError, which begins with `name`, if one is invalid."""
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        mistake = error.errors()[0]
        place, message = ".".join(map(str, mistake["loc"])), mistake["msg"].removeprefix("Value error, ")
        raise InputError(f"{name}: {place}: {message[0].lower()}{message[1:]}") from error


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

    `labels` are (n,) integers from 0, `verdicts` (n,) of each classifier, by its name.
    """
    pairs = [
        {"first": first, "second": second} | compare(labels, verdicts[first], verdicts[second])
        for first, second in itertools.combinations(verdicts, 2)
    ]
    adjusted = holm([pair["p_value"] for pair in pairs])
    return [pair | {"adjusted": p_value} for pair, p_value in zip(pairs, adjusted, strict=True)]


def summarise_runs(runs: Sequence[dict[str, Any]], tested: int) -> dict[str, Any]:
    """Return means over runs that differ in their seeds, and their standard deviations, null with one run.

    The 95% interval of the mean accuracy (Wilson, 1927) is that of `tested` test texts alone: the spread adds to it.
    "seconds" is the median of all epochs, "seconds_to_best" the mean up to the end of the best epoch.
    """
    accuracies, losses = ([run[name] for run in runs] for name in ("accuracy", "validation_loss"))
    to_best = [sum(epoch["seconds"] for epoch in run["history"][: run["best_epoch"]]) for run in runs]
    return {
        "accuracy": mean(accuracies),
        "accuracy_spread": stdev(accuracies) if len(runs) > 1 else None,
        "ci95": wilson_interval(round(mean(accuracies) * tested), tested),
        "validation_loss": mean(losses),
        "cost": mean(run["cost"] for run in runs),
        "validation_spread": stdev(losses) if len(runs) > 1 else None,
        "seconds": median(epoch["seconds"] for run in runs for epoch in run["history"]),
        "seconds_to_best": mean(to_best),
        "best_epochs": [run["best_epoch"] for run in runs],
        "parameters": runs[0]["parameters"],
    }


def cost_of(member: dict[str, Any]) -> float:
    """Return what ranks a member, infinite if it failed."""
    return member["summary"]["cost"] if member["summary"] else math.inf


def chosen_run(member: dict[str, Any]) -> int:
    """Return the index of the run with the lowest cost, the earliest of equal ones."""
    costs = [run["cost"] for run in member["runs"]]
    return costs.index(min(costs))
