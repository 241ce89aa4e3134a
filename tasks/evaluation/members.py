"""Members: the networks that a comparison sets side by side: the settings of their runs, and what became of them."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from tasks.core.errors import InputError
from tasks.core.flow_settings import CompareSettings
from tasks.core.settings import RunSettings
from tasks.evaluation.search_space import OWN_SECTIONS, SHARED, read_grid
from tasks.store.artifact import RunArtifacts
from tasks.store.step_log import StepEntry


@dataclass(frozen=True)
class Member:
    """One network of a comparison.

    Attributes:
        name: what it is called, unlike any other's.
        runs: its settings, one a seed; the first seed is the one that was asked for, so that a run alone is the same.
    """

    name: str
    runs: tuple[RunSettings, ...]


class MemberRun(NamedTuple):
    """The artifacts of one run of a member, and its step log."""

    artifacts: RunArtifacts
    steps: list[StepEntry]


@dataclass(frozen=True)
class Outcome:
    """What became of a member: its runs, or those before the one that failed, and why that did."""

    member: Member
    runs: list[MemberRun]
    failure: str | None = None


def members_of(settings: CompareSettings, presets: Mapping[str, Mapping[str, Any]]) -> list[Member]:
    """Return what is to be compared: each cell in each direction, each preset, and of each every point of the grid.

    Cells share all other settings, so all of them are trained on the same data under the same budget. A preset brings
    its own words, network and training; the comparison says which reviews. Of equal members the first one stays.

    Args:
        settings: of the comparison.
        presets: what the file of each preset that is asked for says, by name.

    Raises:
        InputError: the grid cannot be read, a member cannot be had, or there are fewer than two, a search's included.
    """
    grid, found = read_grid(settings.grid), dict[tuple[RunSettings, ...], str]()
    for name, base in bases_of(settings, presets):
        for point in itertools.product(*([(setting, value) for value in values] for setting, values in grid.items())):
            called = ", ".join([name, *(f"{setting}={value}" for setting, value in point)])
            runs = tuple(build_run(called, base, point, number) for number in range(settings.seeds))
            found.setdefault(runs, called)
    if len(found) + bool(settings.trials) < 2:
        raise InputError(
            f"there is nothing to compare: only {', '.join(found.values()) or 'no network'} is asked for; widen "
            "--cells, --ways, --presets or --grid, or search with --trials"
        )
    return [Member(name, runs) for runs, name in found.items()]


def bases_of(
    settings: CompareSettings, presets: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each member, before the grid, and all its settings as JSON values."""
    shared = shared_settings(settings)
    for cell, way in itertools.product(settings.cells, settings.ways):
        model = shared["model"] | {"cell": cell, "bidirectional": way == "two"}
        if cell == "simple_rnn":
            model["recurrent_activation"] = None  # it has no gates
        yield f"{cell} {way}-way", shared | {"model": model}
    reviews = {name: value for name, value in shared["data"].items() if name in SHARED}
    for name in settings.presets:
        own = {section: presets[name].get(section, {}) for section in OWN_SECTIONS}
        yield f"preset {name}", shared | own | {"data": own["data"] | reviews}


def shared_settings(settings: CompareSettings) -> dict[str, Any]:
    """Return the settings of a run that a comparison's members share, as JSON values."""
    return settings.model_dump(mode="json", include=set(RunSettings.model_fields))


def found_member(name: str, settings: CompareSettings, point: Mapping[str, str]) -> Member:
    """Return what a search has found as a member: the shared settings but for those at `point`.

    Raises:
        InputError: naming the setting that cannot have its value.
    """
    shared, at = shared_settings(settings), tuple(point.items())
    return Member(name, tuple(build_run(name, shared, at, number) for number in range(settings.seeds)))


def build_run(name: str, base: Mapping[str, Any], point: tuple[tuple[str, str], ...], number: int) -> RunSettings:
    """Return the settings of one run of a member.

    Args:
        name: the member's.
        base: its settings before the grid.
        point: the settings that the grid changes, and to what.
        number: added to the seeds of the first weights and of the training.

    Raises:
        InputError: naming the setting that cannot have its value.
    """
    values: dict[str, Any] = {section: dict(fields) for section, fields in base.items()}
    for setting, value in point:
        section, _, field = setting.partition(".")
        values[section][field] = None if value == "none" else value
    try:
        run = RunSettings.model_validate(values)
        seeds = [{"seed": settings.seed + number} for settings in (run.model, run.training)]
        own = {"model": run.model.model_copy(update=seeds[0]), "training": run.training.model_copy(update=seeds[1])}
        return run.model_copy(update=own)
    except ValidationError as error:
        mistake = error.errors()[0]
        place, message = ".".join(map(str, mistake["loc"])), mistake["msg"].removeprefix("Value error, ")
        raise InputError(f"{name}: {place}: {message[0].lower()}{message[1:]}") from error
