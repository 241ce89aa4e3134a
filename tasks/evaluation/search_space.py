"""Search spaces and grids: the settings of a network to vary and their values, parsed from the command line."""

import math
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import InputError
from tasks.core.settings import RunSettings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

OWN_SECTIONS = ("data", "model", "phrases", "training")  # in which members may differ
# These settings select and order the reviews: all members are tested on the same ones.
SHARED = {
    *SourceSettings.model_fields,
    *("on_unreachable", "tokenisation", "shuffle_seed", "max_reviews"),
    *("max_words", "max_odd_lengths", "max_unknown"),
}
# Validation reviews choose among trials, so these are the same for all of them.
VALIDATED_ON = {"validation_split", "whole_groups"}
SEEDS = {"model.seed": "--seeds", "training.seed": "--seeds"}
CELLS = {"model.cell": "--cells", "model.bidirectional": "--ways"}
LOG_FROM = 10  # a range whose ends differ by this factor is searched on a logarithmic scale


def read_grid(grid: str | None) -> dict[str, list[str]]:
    """Return the values, as text, of each setting in a grid, such as "model.units=32,64 model.cell=gru".

    Raise InputError if it is malformed, or names a setting that is unknown or that members must share.
    """
    typed = read_values("--grid", grid or "", SHARED, SEEDS | CELLS)
    return {setting: values.split(",") for setting, values in typed.items()}


def read_search(space: str) -> "dict[str, BaseDistribution]":
    """Return Optuna's distribution of each setting in a search, such as "model.units=16..128 model.cell=gru,lstm".

    Raise InputError if it is malformed, or names a setting that is unknown or that trials must share.
    """
    typed = read_values("--search", space, SHARED | VALIDATED_ON, SEEDS)
    if not typed:
        raise InputError("--search: expected at least one setting, as model.units=16..128")
    return {setting: read_distribution(setting, values) for setting, values in typed.items()}


def read_distribution(setting: str, values: str) -> "BaseDistribution":
    """Return the distribution that `low..high`, of integers if both ends are, or a list of values stands for.

    Raises:
        InputError: the ends are not numbers, or not in order.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    first, dots, last = values.partition("..")
    if not dots:
        return CategoricalDistribution(values.split(","))
    try:
        low, high = float(first), float(last)
    except ValueError:
        low, high = 1, 0
    if not low < high < math.inf:
        raise InputError(f"--search: {setting}={values}: expected two numbers, the lower one first, as 16..128")
    log = low > 0 and high >= LOG_FROM * low
    if (first + last).replace("-", "").isdigit():
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def read_values(flag: str, text: str, shared: Container[str], flags: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each setting in `SECTION.SETTING=... SECTION.SETTING=...`.

    `flag` is for error messages; settings in `shared` may not differ, and those in `flags` have a flag of their own.
    Raise InputError if the text is malformed, or names a setting that cannot be varied.
    """
    found: dict[str, str] = {}
    for part in text.split():
        typed, equals, values = part.partition("=")
        setting = typed.replace("-", "_")
        section, _, field = setting.partition(".")
        if not equals or not all(values.split(",")) or setting in found:
            raise InputError(f"{flag}: {part}: expected one SECTION.SETTING=VALUE,VALUE a setting, separated by spaces")
        if setting in flags:
            raise InputError(f"{flag}: {setting} is what {flags[setting]} says; leave it out")
        known = RunSettings.model_fields[section].annotation if section in OWN_SECTIONS else None
        if field not in getattr(known, "model_fields", {}):
            raise InputError(f"{flag}: {setting}: no such setting in {', '.join(OWN_SECTIONS)}")
        if known is DataSettings and field in shared:
            raise InputError(f"{flag}: {setting} changes the reviews, and networks are compared on the same ones")
        found[setting] = values
    return found
