"""Validation: a split of the download, or the end of the training texts."""

import math
from pathlib import Path

import numpy as np

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.dataset_info import TEXTS
from tasks.texts.downloaded import first_alike, groups_of
from tasks.texts.groups import group_boundary
from tasks.texts.padded import MIN_VALIDATION_ROWS
from tasks.texts.shuffle import order_texts

ENOUGH_ROWS = 100


def rows_of_splits(
    downloaded: Path, labels: dict[str, np.ndarray], settings: EncodeSettings
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the split of the download that each split is taken from, and its rows there, in the order to encode.

    A download with a validation split keeps it. Else validation is the end of the training texts, in this order:

    - with `whole_groups`, the texts of each group follow each other, and the cut is between two groups;
    - if the download says which texts are alike, these follow each other, too, and the cut does not separate them;
    - else the texts are as shuffled, and the cut is that of Keras's `validation_split`.

    `labels` are those of each split of the download.
    """
    path = downloaded / TEXTS
    groups = groups_of(path, labels["train"]) if settings.whole_groups else None
    first = None if settings.whole_groups else first_alike(path)
    rows = {split: (split, order) for split, order in order_texts(labels, settings, groups, first).items()}
    if "validation" not in rows:
        train, together = rows["train"][1], first if groups is None else groups
        cut = validation_cut(len(train), settings.validation_split, None if together is None else together[train])
        rows |= {"train": ("train", train[:cut]), "validation": ("train", train[cut:])}
    return rows


def validation_cut(rows: int, share: float, groups: np.ndarray | None = None) -> int:
    """Return where validation begins in training texts: it has at least a tenth, or `ENOUGH_ROWS`, of them.

    `groups` are (rows,), each contiguous, and none is cut.
    """
    tenth = max(MIN_VALIDATION_ROWS, rows // 10)
    enough = min(ENOUGH_ROWS, tenth) if rows >= 3 * MIN_VALIDATION_ROWS else 0
    most = min(math.floor(rows * (1 - share)), rows - enough)
    if groups is None:
        return most
    cut = group_boundary(groups, most)
    if not cut:
        raise DataError(
            f"validation cannot be cut from training: the first {most} texts are one group, or alike; give more "
            "groups, or name validation rows with --data.split-column"
        )
    return cut


def check_labels(
    labels: dict[str, np.ndarray], names: tuple[str, ...], settings: EncodeSettings, *, is_cut: bool
) -> None:
    """Refuse splits, each (n,) labels, that lack a named one, and a small validation, from training if `is_cut`."""
    for split, numbers in labels.items():
        counts = np.bincount(numbers, minlength=len(names))
        missing = ", ".join(repr(name) for name, count in zip(names, counts, strict=True) if not count)
        if not missing and (split != "validation" or len(numbers) >= MIN_VALIDATION_ROWS):
            continue
        found = f"none of the {len(numbers):,} {split} texts has the label {missing}; every split needs every label"
        if not missing:
            found = f"validation has only {len(numbers)} texts; expected at least {MIN_VALIDATION_ROWS}"
        parts = ["train", "validation"] if is_cut and split != "test" else [split]
        remedies = ["give more such texts"]
        if (rows := sum(len(labels[part]) for part in parts)) == settings.max_reviews:
            remedies.append(f"raise --data.max-reviews ({rows:,}; none takes all texts)")
        if len(parts) > 1 and not missing and rows < (needed := 3 * MIN_VALIDATION_ROWS):
            remedies[0] = f"training and validation have {rows} together; give at least {needed}"
        elif len(parts) > 1:
            remedies.append(f"{'raise' if split == 'validation' else 'lower'} --data.validation-split")
            if not settings.whole_groups:
                remedies.append("give --data.whole-groups, which takes the same share of every label")
        if missing:
            remedies.append("leave the label out of all splits")
        raise DataError(f"{found}: {', or '.join(remedies)}")
