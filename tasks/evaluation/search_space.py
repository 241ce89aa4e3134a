"""Search spaces and grids: the settings of a network to vary and their values, parsed from the command line."""

from collections.abc import Container
from dataclasses import dataclass

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import InputError
from tasks.core.settings import RunSettings

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


@dataclass(frozen=True)
class Range:
    """The numbers from low to high, both included; integers if both ends are."""

    low: float
    high: float
    is_whole: bool

    @property
    def is_log(self) -> bool:
        """Whether it is searched on a logarithmic scale."""
        return self.low > 0 and self.high >= LOG_FROM * self.low


def read_grid(grid: str | None) -> dict[str, list[str]]:
    """Return the values of each setting in a grid, such as "model.units=32,64 model.cell=gru", as text.

    Raises:
        InputError: the text is malformed, or names a setting that is unknown or that members must share.
    """
    typed = read_values("--grid", grid or "", SHARED)
    for setting in typed:
        if setting in CELLS:
            raise InputError(f"--grid: {setting} is what {CELLS[setting]} says; leave it out of the grid")
    return {setting: values.split(",") for setting, values in typed.items()}


def read_search(space: str) -> dict[str, Range | list[str]]:
    """Return the range or values of each setting in a search, such as "model.units=16..128 model.cell=gru,lstm".

    Raises:
        InputError: the text is malformed, or names a setting that is unknown or that trials must share.
    """
    typed = read_values("--search", space, SHARED | VALIDATED_ON)
    if not typed:
        raise InputError("--search: expected at least one setting, as model.units=16..128")
    return {setting: read_range(setting, values) or values.split(",") for setting, values in typed.items()}


def read_range(setting: str, values: str) -> Range | None:
    """Return the range that `low..high` stands for, or None without two dots.

    Raises:
        InputError: the ends are not numbers, or not in order.
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
    """Return the value of each setting in `SECTION.SETTING=... SECTION.SETTING=...`.

    `flag` is for error messages; `shared` has the settings of the data that may not differ.

    Raises:
        InputError: the text is malformed, or names a setting that cannot be varied.
    """
    found: dict[str, str] = {}
    for part in text.split():
        typed, equals, values = part.partition("=")
        setting = typed.replace("-", "_")
        section, _, field = setting.partition(".")
        if not equals or not all(values.split(",")) or setting in found:
            raise InputError(f"{flag}: {part}: expected one SECTION.SETTING=VALUE,VALUE a setting, separated by spaces")
        if setting in SEEDS:
            raise InputError(f"{flag}: {setting} is what {SEEDS[setting]} says; leave it out")
        known = RunSettings.model_fields[section].annotation if section in OWN_SECTIONS else None
        if field not in getattr(known, "model_fields", {}):
            raise InputError(f"{flag}: {setting}: no such setting in {', '.join(OWN_SECTIONS)}")
        if known is DataSettings and field in shared:
            raise InputError(f"{flag}: {setting} changes the reviews, and networks are compared on the same ones")
        found[setting] = values
    return found
