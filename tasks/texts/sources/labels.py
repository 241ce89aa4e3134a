"""Labels: different spellings of one label, and the order of labels; with two, the positive one comes last."""

import re
import shlex
from pathlib import Path

import numpy as np

from tasks.core.errors import InputError

# Pairs of which we know the positive label: negative, positive.
KNOWN_PAIRS = (("0", "1"), ("negative", "positive"), ("neg", "pos"), ("false", "true"), ("no", "yes"))
SPELLINGS_NAMED = 5


def plain_label(spelling: str) -> str:
    """Return a label without outer whitespace, and without the decimals that spreadsheets add to whole numbers."""
    label = spelling.strip()
    number = re.fullmatch(r"([+-]?\d+)\.0+", label)
    return number[1] if number else label


class Labels:
    """The labels of a dataset in order of appearance, each named by its first spelling.

    Attributes:
        names: of the labels.
        spellings: other spellings that were met, each with its label's name.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.spellings: dict[str, str] = {}
        self._places: dict[str, int] = {}  # by spelling
        self._known: dict[str, int] = {}  # by plain_label, lower case

    def places_of(self, spellings: list[str]) -> np.ndarray:
        """Return the place in `names` of each label: (n,) int64."""
        for spelling in dict.fromkeys(spellings):
            if spelling not in self._places:
                self._add(spelling)
        return np.array([self._places[spelling] for spelling in spellings], np.int64)

    def _add(self, spelling: str) -> None:
        name = plain_label(spelling)
        place = self._known.setdefault(name.casefold(), len(self._known))
        if place == len(self.names):
            self.names.append(name)
        if spelling != self.names[place]:
            self.spellings[spelling] = self.names[place]
        self._places[spelling] = place


def describe_spellings(spellings: dict[str, str], path: Path) -> str:
    """Return a line that says which spellings are read as which labels."""
    named = [f"{spelling!r} as {name!r}" for spelling, name in list(spellings.items())[:SPELLINGS_NAMED]]
    return f"{path}: reads the labels {', '.join(named)}{', …' if len(spellings) > SPELLINGS_NAMED else ''}"


def name_labels(names: list[str], positive: str | None, path: Path) -> list[str]:
    """Return labels in the order of their numbers: the positive one of two last, more than two by number or name.

    Raises:
        InputError: there is only one label, or the positive one is unknown.
    """
    if not names:
        raise InputError(f"{path}: has a header and no rows")
    if len(names) == 1:
        raise InputError(f"{path}: has only the label {names[0]!r}; at least two are needed")
    if len(names) > 2:
        if positive is not None:
            raise InputError(f"{path}: has {len(names)} labels; --data.positive-label is for two, leave it out")
        return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
    known = {name.casefold(): name for name in names}
    if positive is not None:
        named = known.get(plain_label(positive).casefold())
        if named is None:
            raise InputError(f"{path}: no row has the label {positive!r}, only {' and '.join(map(repr, names))}")
        return sorted(names, key=lambda name: name == named)
    for pair in KNOWN_PAIRS:
        if set(known) == set(pair):
            return [known[pair[0]], known[pair[1]]]
    flags = " or ".join(f"--data.positive-label {shlex.quote(name)}" for name in names)
    raise InputError(f"{path}: the labels are {' and '.join(map(repr, names))}; name the positive one: {flags}")
