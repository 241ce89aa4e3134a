"""Spaces: which settings of a network are varied, and over which values, as a person types them."""

from collections.abc import Container
from dataclasses import dataclass

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import InputError
from tasks.core.settings import RunSettings

OWN_SECTIONS = ("data", "model", "phrases", "training")  # in which members may differ
# Which reviews there are and in which order: all members are tested on the same ones.
SHARED = {
    *SourceSettings.model_fields,
    *("on_unreachable", "tokenisation", "shuffle_seed", "max_reviews"),
    *("min_words", "max_words", "max_odd_lengths", "max_unknown"),
}
# Validation reviews choose among trials, so these are the same for all of them.
VALIDATED_ON = {"validation_split", "whole_groups"}
SEEDS = {"model.seed": "--seeds", "training.seed": "--seeds"}
CELLS = {"model.cell": "--cells", "model.bidirectional": "--ways"}
LOG_FROM = 10  # a range whose ends lie so many times apart is searched by orders of magnitude


@dataclass(frozen=True)
class Range:
    """Numbers between two, both included; whole ones where both are."""

    low: float
    high: float
    is_whole: bool

    @property
    def is_log(self) -> bool:
        """Whether it is searched by orders of magnitude."""
        return self.low > 0 and self.high >= LOG_FROM * self.low


def read_grid(grid: str | None) -> dict[str, list[str]]:
    """Return the values that each setting of a grid takes, as they were typed.

    Args:
        grid: as "model.units=32,64 training.learning_rate=0.001,0.01".

    Raises:
        InputError: it is no such text, names no setting of a network, or one that members must share.
    """
    typed = read_values("--grid", grid or "", SHARED)
    for setting in typed:
        if setting in CELLS:
            raise InputError(f"--grid: {setting} is what {CELLS[setting]} says; leave it out of the grid")
    return {setting: values.split(",") for setting, values in typed.items()}


def read_search(space: str) -> dict[str, Range | list[str]]:
    """Return where each setting is searched: in a range, or among values as they were typed.

    Args:
        space: as "model.units=16..128 model.cell=gru,lstm".

    Raises:
        InputError: it is no such text, names no setting of a network, or one that trials must share.
    """
    typed = read_values("--search", space, SHARED | VALIDATED_ON)
    if not typed:
        raise InputError("--search: expected at least one setting, as model.units=16..128")
    return {setting: read_range(setting, values) or values.split(",") for setting, values in typed.items()}


def read_range(setting: str, values: str) -> Range | None:
    """Return the range that `low..high` stands for, or None where there are no two dots.

    Raises:
        InputError: the ends are no numbers, or not in order.
    """
    low, dots, high = values.partition("..")
    if not dots:
        return None
    try:
        found = Range(float(low), float(high), low.lstrip("-").isdigit() and high.lstrip("-").isdigit())
    except ValueError:
        found = Range(1, 0, is_whole=False)
    if not found.low < found.high < float("inf"):
        raise InputError(f"--search: {setting}={values}: expected two numbers, the lower one first, as 16..128")
    return found


def read_values(flag: str, text: str, shared: Container[str]) -> dict[str, str]:
    """Return what stands behind each setting in `SECTION.SETTING=... SECTION.SETTING=...`.

    Args:
        flag: that it was typed behind.
        text: what was typed.
        shared: the settings of the data that may not differ.

    Raises:
        InputError: it is no such text, or names a setting that cannot be varied.
    """
    found: dict[str, str] = {}
    for part in text.split():
        typed, equals, values = part.partition("=")
        setting = typed.replace("-", "_")
        section, _, field = setting.partition(".")
        if not equals or not all(values.split(",")) or setting in found:
            raise InputError(f"{flag}: {part}: expected one SECTION.SETTING=VALUE,VALUE a setting, parted by spaces")
        if setting in SEEDS:
            raise InputError(f"{flag}: {setting} is what {SEEDS[setting]} says; leave it out")
        known = RunSettings.model_fields[section].annotation if section in OWN_SECTIONS else None
        if field not in getattr(known, "model_fields", {}):
            raise InputError(f"{flag}: {setting}: no such setting in {', '.join(OWN_SECTIONS)}")
        if known is DataSettings and field in shared:
            raise InputError(f"{flag}: {setting} changes the reviews, and networks are compared on the same ones")
        found[setting] = values
    return found
