"""Splits: rows are assigned by a hash, so they keep their split when others are added; labels and leaks are checked."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import SourceSettings, drop_label_flag
from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS

Warn = Callable[[str], None]
TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))
LEFT_OUT = -1
SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
               "dev": VALIDATION, "test": TEST, "testing": TEST,
               # Hugging Face's IMDB has a split without labels.
               "unsupervised": LEFT_OUT, "unsup": LEFT_OUT, "unlabelled": LEFT_OUT, "unlabeled": LEFT_OUT}  # fmt: skip
REMOVED = len(SPLITS)  # of rows that are in no split
ROWS_NAMED = 5
MIN_TRAINING_ROWS = 2  # of each label
MAX_DISTINCT = 0.8  # labels per row; more are ids or numbers to predict
MAX_FACTOR = 3  # by which a split may be larger or smaller than expected


class OwnTexts(NamedTuple):
    """Where your own texts are, how they are read, and a function that is called with each line about them."""

    path: Path
    settings: SourceSettings
    warn: Warn


def hash_texts(texts: list[str], seed: int) -> np.ndarray:
    """Return evenly distributed (n,) uint64 hashes, which ignore case and outer whitespace."""
    return hash_all((text.strip().lower().encode() for text in texts), seed.to_bytes(8))


def hash_all(contents: Iterable[bytes], key: bytes = b"") -> np.ndarray:
    """Return 64-bit hashes: (n,) uint64. Among ten million texts, two share one with a probability of 3 in 10^6."""
    digests = (hashlib.blake2b(content, digest_size=8, key=key).digest() for content in contents)
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def read_splits(names: list[str], file: Path, rows: np.ndarray) -> np.ndarray:
    """Return the split of each row: (n,) int8 places in SPLITS, or LEFT_OUT."""
    places = [SPLIT_NAMES.get(name.strip().lower()) for name in names]
    if None in places:
        at = places.index(None)
        raise InputError(f"{file}: row {rows[at]} has the split {names[at]!r}; expected train, validation or test")
    return np.array(places, np.int8)


def assign_splits(hashes: np.ndarray, test: float, validation: float) -> np.ndarray:
    """Return the split of each row, by (n,) uint64 of `hash_texts`: (n,) int8 places in SPLITS.

    Rows with equal hashes share a split. A test row stays one if `test` grows. `test` and `validation` are expected
    shares.
    """
    place = hashes / 2.0**64
    return np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN)).astype(np.int8)


def check_shares(split: np.ndarray, test: float, validation: float, place: str) -> None:
    """Refuse splits that chance, or one large group, has made three times larger or smaller than expected."""
    shares = {TEST: test, VALIDATION: validation, TRAIN: 1 - test - validation}
    for number, share in shares.items():
        rows = int((split == number).sum())
        if not share / MAX_FACTOR <= rows / len(split) <= share * MAX_FACTOR:
            raise InputError(
                f"{place}: {rows:,} of {len(split):,} rows were assigned to {SPLITS[number]}, expected about "
                f"{share * len(split):,.0f}: there are too few rows or groups, or one group is too large. Give more "
                "rows, try another --data.split-seed, or name the split of each row with --data.split-column"
            )


def check_classes(
    rows: pa.Table, labels: np.ndarray, first_rows: dict[str, str], split: np.ndarray, own: OwnTexts
) -> dict[str, Any]:
    """Return the rows of each split, and of each label in it, and warn of rare labels.

    `rows` has file and row of n texts, `first_rows` of each label; `labels` are (n,) places in it, `split` in SPLITS.
    Raise InputError if a split has no row of a label, or training has only one.
    """
    splits, names = {}, list(first_rows)
    min_share = own.settings.min_class_share * 2 / len(names)
    for place, name in enumerate(SPLITS):
        counts = np.bincount(labels[split == place], minlength=len(names))
        total, rarest = int(counts.sum()), int(counts.argmin())
        if not total:
            continue
        where, count = first_rows[names[rarest]], int(counts[rarest])
        if count:
            at = int(np.flatnonzero((labels == rarest) & (split == place))[0])
            where = f"{rows['file'][at]} row {rows['row'][at].as_py():,}"
        label = f"the label {names[rarest]!r} (first in {where})"
        if not count or (place == TRAIN and count < MIN_TRAINING_ROWS):
            if len(names) > max(2, MAX_DISTINCT * len(labels)):
                raise InputError(
                    f"{own.path}: has {len(names):,} labels in {len(labels):,} rows; is "
                    f"{own.settings.label_column!r} the label column (--data.label-column)?"
                )
            raise InputError(
                f"{own.path}: {count or 'none'} of the {total:,} {name} rows has {label}; give more rows, split them "
                "differently (--data.group-column, --data.split-seed), name their splits (--data.split-column), or, "
                f"with more than two labels, leave this one out ({drop_label_flag(names[rarest])})"
            )
        if count < min_share * total:
            own.warn(f"{own.path}: only {count:,} of the {total:,} {name} rows have {label}")
        splits[name] = {"rows": total, "labels": dict(zip(names, counts.tolist(), strict=True))}
    return {"splits": splits}


def without_leaks(texts: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return the splits with `REMOVED` for training rows whose text is in validation or test, validation's in test.

    Both arguments are (n,): hashes, and places in SPLITS.
    """
    in_test, held_out = np.isin(texts, texts[split == TEST]), np.isin(texts, texts[split != TRAIN])
    leaks = ((split == TRAIN) & held_out) | ((split == VALIDATION) & in_test)
    return np.where(leaks, REMOVED, split).astype(np.int8)


def check_leaks(rows: pa.Table, split: np.ndarray, own: OwnTexts) -> dict[str, Any]:
    """Count validation and test rows with a training text (`leaks`), and repeated texts in a split (`duplicates`).

    `rows` are n rows with the file, row and hash of a text, `split` (n,) places in SPLITS. Raise InputError if there
    are more leaks than the limit.
    """
    path, settings, _warn = own
    texts, is_held_out = rows["hash"].to_numpy(), (split == VALIDATION) | (split == TEST)
    leaks = np.flatnonzero(is_held_out & np.isin(texts, texts[split == TRAIN]))
    held_out = int(is_held_out.sum())
    if settings.leaks == "refuse" and len(leaks) > settings.max_leaks * max(held_out, 1):
        origins = rows.take(pa.array(leaks[:ROWS_NAMED])).to_pylist()
        named = ", ".join(f"{origin['file']} row {origin['row']}" for origin in origins)
        raise InputError(
            f"{path}: {len(leaks):,} of {held_out:,} validation and test rows have the text of a training row "
            f"({named}{', …' if len(leaks) > ROWS_NAMED else ''}); leave --data.leaks out to train without them, or "
            f"raise --data.max-leaks ({settings.max_leaks})"
        )
    distinct = sum(len(np.unique(texts[split == place])) for place in range(len(SPLITS)))
    return {
        "leaks": len(leaks),
        "removed": int((split == REMOVED).sum()),
        "duplicates": int((split != REMOVED).sum()) - distinct,
    }
