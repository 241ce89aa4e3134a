"""Labels: which are missing, which look alike, and their order; with two, the positive one comes last."""

import difflib
import re
import shlex
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.core.errors import InputError
from tasks.texts.dataset import MAX_LABELS

Warn = Callable[[str], None]
# Pairs of which we know the positive label: negative, positive.
KNOWN_PAIRS = (("0", "1"), ("negative", "positive"), ("neg", "pos"), ("false", "true"), ("no", "yes"))
SPELLINGS_NAMED = 5
# What other programs write for a missing value.
MISSING = frozenset({"", "nan", "NaN", "-nan", "-NaN", "NAN", "null", "NULL", "Null", "None", "NA", "N/A", "n/a",
                     "<NA>", "#N/A", "#NA", "NaT"})  # fmt: skip
# Characters that are not shown: joiners, marks of direction and of byte order.
HIDDEN = r"\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
OUTER = re.compile(f"^[{HIDDEN}]+|[{HIDDEN}]+$")
CODE_POINTS_NAMED = 8


def plain_label(spelling: str) -> str:
    """Return a label without whitespace around it, and without the decimals that spreadsheets add to whole numbers."""
    label = OUTER.sub("", spelling)
    number = re.fullmatch(r"([+-]?\d+)\.0+", label)
    return number[1] if number else label


def is_missing(spelling: str) -> bool:
    """Return whether a label is empty or a word for a missing value."""
    return plain_label(spelling) in MISSING


def appearance(label: str) -> str:
    """Return a key that is equal for labels that look alike or differ in case: 1 and 1.0, NFC and NFD."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    shown = "".join(
        "-" if unicodedata.category(character) == "Pd" or character == "\u2212" else character
        for character in folded
        if unicodedata.category(character) != "Cf" and not "\ufe00" <= character <= "\ufe0f"
    )
    return plain_label(" ".join(shown.split())).removeprefix("+")


def describe_difference(one: str, other: str) -> str:
    """Return the code points in which two spellings first differ."""
    opcodes = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    _tag, start, stop, other_start, other_stop = next(code for code in opcodes if code[0] != "equal")
    parts = one[start:stop], other[other_start:other_stop]
    points = [" ".join(f"U+{ord(character):04X}" for character in part[:CODE_POINTS_NAMED]) for part in parts]
    return f"{points[0] or 'nothing'} in one is {points[1] or 'nothing'} in the other"


class Labels:
    """The labels of a dataset in order of appearance.

    Attributes:
        first_rows: each label, without whitespace around it, with the file and row in which it appears first.
        spellings: labels that are not spelt like that, each with how they are.
    """

    def __init__(self, path: Path, column: str) -> None:
        """Start without labels; path and column are for messages."""
        self.first_rows: dict[str, str] = {}
        self.spellings: dict[str, str] = {}
        self._path, self._column = path, column
        self._places: dict[str, int] = {}
        self._known: dict[str, tuple[str, str]] = {}  # first spelling and its row, by appearance

    def places_of(self, spellings: list[str], file: Path, rows: np.ndarray) -> np.ndarray:
        """Return the number of each label, by first appearance: (n,) int16.

        Raises:
            InputError: there are too many labels, or two of them look alike.
        """
        for spelling, row in zip(spellings, rows, strict=True):
            if spelling not in self._places:
                self._add(spelling, f"{file.name} row {row:,}")
        return np.array([self._places[spelling] for spelling in spellings], np.int16)

    def _add(self, spelling: str, row: str) -> None:
        first, first_row = self._known.setdefault(appearance(spelling), (spelling, row))
        if first != spelling:
            raise InputError(
                f"{self._path}: the labels {first!r} ({first_row}) and {spelling!r} ({row}) look alike: "
                f"{describe_difference(first, spelling)}; write the same in every row"
            )
        if len(self._places) == MAX_LABELS:
            raise InputError(
                f"{self._path}: {row} has the label {spelling!r}, but there may be at most {MAX_LABELS:,} labels; is "
                f"{self._column!r} the label column (--data.label-column)?"
            )
        name = plain_label(spelling)
        self._places[spelling] = len(self._places)
        self.first_rows[name] = row
        if spelling != name:
            self.spellings[spelling] = name


def describe_spellings(spellings: dict[str, str], path: Path) -> str:
    """Return a line that says which spellings are read as which labels."""
    named = [f"{spelling!r} as {name!r}" for spelling, name in list(spellings.items())[:SPELLINGS_NAMED]]
    return f"{path}: reads the labels {', '.join(named)}{', …' if len(spellings) > SPELLINGS_NAMED else ''}"


def name_labels(counts: dict[str, int], positive: str | None, path: Path, warn: Warn) -> list[str]:
    """Return labels in the order of their numbers: the positive one of two last, more than two by number or name.

    If it is not known which one is positive, the rarer one is, or if both are equally frequent the later one by name.

    Args:
        counts: the number of rows of each label.
        positive: the positive label, if the settings name it.
        path: of the texts.
        warn: called if the positive label was not known.

    Raises:
        InputError: there is only one label, or no row has the positive one.
    """
    names = list(counts)
    if not names:
        raise InputError(f"{path}: has a header and no rows")
    if len(names) == 1:
        raise InputError(f"{path}: has only the label {names[0]!r}; at least two are needed")
    if len(names) > 2:
        if positive is not None:
            raise InputError(f"{path}: has {len(names)} labels; --data.positive-label is for two, leave it out")
        whole = {name: int(name) for name in names if re.fullmatch("[+-]?[0-9]+", name)}
        return sorted(names, key=lambda name: (name not in whole, whole.get(name, 0), name))
    known = {name.casefold(): name for name in names}
    if positive is not None:
        named = known.get(plain_label(positive).casefold())
        if named is None:
            raise InputError(f"{path}: no row has the label {positive!r}, only {' and '.join(map(repr, names))}")
        return sorted(names, key=lambda name: name == named)
    for pair in KNOWN_PAIRS:
        if set(known) == set(pair):
            return [known[pair[0]], known[pair[1]]]
    common, rare = sorted(sorted(names), key=lambda name: -counts[name])
    why = "later by name" if counts[rare] == counts[common] else "rarer"
    warn(
        f"{path}: takes the label {rare!r} as positive, because it is the {why} one ({counts[rare]:,} rows; "
        f"{common!r}: {counts[common]:,}); for the other give --data.positive-label {shlex.quote(common)}"
    )
    return [common, rare]
