"""Labels: which are missing, which look alike, and their order; with two, the positive one comes last."""

import re
import shlex
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.dataset_info import MAX_LABELS, label_dtype
from tasks.texts.sources.splits import LEFT_OUT, Warn
from tasks.texts.tables.table_files import name_few

POSITIVE = {"1", "positive", "pos", "true", "yes"}
# What other programs write for a missing value.
MISSING = frozenset({"", "nan", "NaN", "-nan", "-NaN", "NAN", "null", "NULL", "Null", "None", "NA", "N/A", "n/a",
                     "<NA>", "#N/A", "#NA", "NaT", "\\N"})  # fmt: skip
# Characters that are not shown: joiners, marks of direction and of byte order.
HIDDEN = r"\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
UNLABELLED = "-1"  # in some datasets; in others it is the negative label
MISSING_LABEL = "without a label"
OUTER = re.compile(f"^[{HIDDEN}]+|[{HIDDEN}]+$")


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


class Labels:
    """The labels of your files: which spellings are which label, and which rows have none.

    Attributes:
        settings: how the files are read.
        left_out: the number of rows that are left out for each reason.
    """

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        """Start without labels; `path` is for messages."""
        self.left_out = Counter[str]()
        self.settings, self._path, self._first_missing = settings, path, ""
        self._known: dict[str, tuple[int, str, str]] = {}  # number, spelling and first row, by appearance
        self._drops = {appearance(label): f"with the label {label!r}" for label in settings.drop_labels}

    def numbers_of(self, spellings: pa.Array, file: Path, rows: np.ndarray) -> np.ndarray:
        """Return each label's number, by first appearance, or `LEFT_OUT`: (n,) int16.

        Raise InputError if there are too many labels, or two of them look alike.
        """
        encoded = spellings.dictionary_encode()
        places = np.asarray(encoded.indices)
        _place, firsts, counts = np.unique(places, return_index=True, return_counts=True)
        found = zip(encoded.dictionary.to_pylist(), rows[firsts].tolist(), counts.tolist(), strict=True)
        return np.array([self._number(*each, file) for each in found], np.int16).take(places)

    def _number(self, spelling: str, row: int, count: int, file: Path) -> int:
        key, where, column = appearance(spelling), f"{file.name} row {row:,}", self.settings.label_column
        reason = self._drops.get(key)
        if is_missing(spelling):
            shown = repr(spelling) if spelling.strip() else "nothing"
            self._first_missing = self._first_missing or f"{file}: row {row:,} has {shown} in {column!r}"
            reason = MISSING_LABEL
        if reason:
            self.left_out[reason] += count
            return LEFT_OUT
        number, first, first_row = self._known.setdefault(key, (len(self._known), spelling, where))
        if first != spelling:
            raise InputError(
                f"{self._path}: the labels {first!r} ({first_row}) and {spelling!r} ({where}) look alike, but are "
                f"{first!a} and {spelling!a}; write the same in every row"
            )
        if number == MAX_LABELS:
            raise InputError(
                f"{self._path}: {where} has the label {spelling!r}, but there may be at most {MAX_LABELS:,} labels; "
                f"is {column!r} the label column (--data.label-column)?"
            )
        return number

    def finish(self, numbers: np.ndarray, warn: Warn) -> tuple[np.ndarray, dict[str, str]]:
        """Return each row's label, and for each label, in their order, the file and row in which it appears first.

        `numbers` are (n,) of `numbers_of`; `warn` is called with lines about unusual labels and rows that are left out.
        Raise InputError if labels are missing or `name_labels` refuses them, or no row has a label to drop.
        """
        if (missing := self.left_out[MISSING_LABEL]) and self.settings.unlabelled == "refuse":
            raise InputError(
                f"{self._first_missing}, the first of {missing:,} without a label; fill them in (or rename the "
                "label, if this is one), or leave these rows out: --data.unlabelled drop"
            )
        for dropped in self._drops.values():
            if dropped not in self.left_out:
                raise InputError(f"{self._path}: no row is {dropped}, which --data.drop-labels names")
        first_rows = {plain_label(spelling): row for _number, spelling, row in self._known.values()}
        counts = dict(zip(first_rows, np.bincount(numbers, minlength=len(first_rows)).tolist(), strict=True))
        names = name_labels(counts, self.settings.positive_label, self._path, warn)
        pairs = [(spelling, plain_label(spelling)) for _number, spelling, _row in self._known.values()]
        if changed := [f"{spelling!r} as {name!r}" for spelling, name in pairs if spelling != name]:
            warn(f"{self._path}: reads the labels {name_few(changed)}")
        for reason, count in (+self.left_out).items():
            warn(f"{self._path}: {count:,} rows {reason} left out")
        if UNLABELLED in counts and len(counts) > 2:
            warn(
                f"{self._path}: {counts[UNLABELLED]:,} rows have the label -1, which is trained on; if it marks "
                "unlabelled rows, leave them out: --data.drop-labels -1"
            )
        places = np.array([names.index(name) for name in first_rows], label_dtype(len(names)))
        return places[numbers], {name: first_rows[name] for name in names}


def name_labels(counts: dict[str, int], positive: str | None, path: Path, warn: Warn) -> list[str]:
    """Return labels in the order of their numbers: the positive one of two last, more than two by number or name.

    If it is not known which one is `positive`, the rarer one is, or if both are equally frequent the later one by
    name; `warn` says so. `counts` has the rows of each label. Raise InputError if there is only one, or no row has
    `positive`.
    """
    names = list(counts)
    if not names:
        raise InputError(f"{path}: has no rows to train on; expected a text and a label in each")
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
    # Of 1 and 2, or 1 and 5, the 1 is negative in some datasets.
    likely = known.keys() & POSITIVE if not any(name.isdecimal() and int(name) > 1 for name in known) else set()
    likely |= {name for name in known if f"not {name}" in known}
    if len(likely) == 1:
        return sorted(names, key=lambda name: name.casefold() in likely)
    common, rare = sorted(sorted(names), key=lambda name: -counts[name])
    why = "later one by name" if counts[rare] == counts[common] else "rarer one"
    warn(
        f"{path}: takes the label {rare!r} as positive, because it is the {why} ({counts[rare]:,} rows; "
        f"{common!r}: {counts[common]:,}); for the other give --data.positive-label {shlex.quote(common)}"
    )
    return [common, rare]
