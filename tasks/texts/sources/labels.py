"""Labels: the spellings that stand for one label, and the order of labels: of two, the positive one comes last."""

import re
import shlex
from pathlib import Path

import numpy as np

from tasks.core.errors import InputError

# What labels are called where nobody says which one is the positive one: negative, positive.
KNOWN_LABELS = (("0", "1"), ("negative", "positive"), ("neg", "pos"), ("false", "true"), ("no", "yes"))
SPELLINGS_NAMED = 5


def plain_label(spelling: str) -> str:
    """Return a label without the blanks around it, and a whole number without its decimals: a spreadsheet adds them."""
    label = spelling.strip()
    number = re.fullmatch(r"([+-]?\d+)\.0+", label)
    return number[1] if number else label


class Labels:
    """The labels of a dataset in order of appearance, each named as it is spelt first.

    Attributes:
        names: of the labels.
        folded: the other spellings that were met, each with the name that it stands for.
    """

    def __init__(self) -> None:
        """Know none yet."""
        self.names: list[str] = []
        self.folded: dict[str, str] = {}
        self._places: dict[str, int] = {}  # by spelling
        self._known: dict[str, int] = {}  # by what all spellings of a label share

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
            self.folded[spelling] = self.names[place]
        self._places[spelling] = place


def describe_spellings(folded: dict[str, str], path: Path) -> str:
    """Return in one line which spellings are read as which labels."""
    named = [f"{spelling!r} as {name!r}" for spelling, name in list(folded.items())[:SPELLINGS_NAMED]]
    return f"{path}: reads the labels {', '.join(named)}{', …' if len(folded) > SPELLINGS_NAMED else ''}"


def name_labels(names: list[str], positive: str | None, path: Path) -> list[str]:
    """Return the labels in the order of their numbers: of two the negative one first, more by number or name.

    Raises:
        InputError: there is one only, or of two it is not known which one is positive, or of more one is called so.
    """
    if not names:
        raise InputError(f"{path}: has a header and no rows")
    if len(names) == 1:
        raise InputError(f"{path}: has the label {names[0]!r} only; two are needed")
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
    for pair in KNOWN_LABELS:
        if set(known) == set(pair):
            return [known[pair[0]], known[pair[1]]]
    flags = " or ".join(f"--data.positive-label {shlex.quote(name)}" for name in names)
    raise InputError(f"{path}: the labels are {' and '.join(map(repr, names))}; say which is the positive one: {flags}")
