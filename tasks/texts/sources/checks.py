"""Checks of your own texts: every split has enough of each label, and few texts of training."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS
from tasks.texts.sources.splitting import TRAIN

ROWS_NAMED = 5


def check_classes(
    labels: np.ndarray, first_rows: dict[str, str], split: np.ndarray, settings: SourceSettings, path: Path
) -> dict[str, Any]:
    """Return the rows of each split, and of each label in it.

    Args:
        labels: (n,) integers from 0.
        first_rows: the name of each label, from label 0 on, with the row in which it appears first.
        split: (n,) int8 places in SPLITS.
        settings: the limit.
        path: for messages.

    Raises:
        InputError: a split has no row of a label, or fewer than the limit.
    """
    splits, names = {}, list(first_rows)
    min_share = settings.min_class_share * 2 / len(names)
    for place, name in enumerate(SPLITS):
        counts = np.bincount(labels[split == place], minlength=len(names))
        rows, rarest = int(counts.sum()), int(counts.argmin())
        if not rows:
            continue
        label = f"the label {names[rarest]!r} (first in {first_rows[names[rarest]]})"
        if not counts[rarest]:
            raise InputError(
                f"{path}: none of the {rows:,} {name} rows has {label}; give more rows, split them differently "
                "(--data.group-column, --data.split-seed), or name their splits (--data.split-column)"
            )
        if counts[rarest] < min_share * rows:
            raise InputError(
                f"{path}: {counts[rarest]:,} of the {rows:,} {name} rows have {label}, expected at least "
                f"{min_share:.2%}: give more such rows, or change --data.min-class-share "
                f"({settings.min_class_share:g}, for two labels)"
            )
        splits[name] = {"rows": rows, "labels": dict(zip(names, counts.tolist(), strict=True))}
    return {"splits": splits}


def check_leaks(
    texts: np.ndarray, split: np.ndarray, settings: SourceSettings, path: Path, written: Path
) -> dict[str, Any]:
    """Count validation and test rows with a training text (`leaks`), and repeated texts in a split (`duplicates`).

    Args:
        texts: (n,) uint64 hashes.
        split: (n,) int8 places in SPLITS.
        settings: the limit.
        path: for messages.
        written: texts.parquet, with file and row of each text.

    Raises:
        InputError: there are more leaks than the limit.
    """
    is_train = split == TRAIN
    leaks = np.flatnonzero(~is_train & np.isin(texts, texts[is_train]))
    held_out = int((~is_train).sum())
    if len(leaks) > settings.max_leaks * max(held_out, 1):
        origins = pq.read_table(written, columns=["file", "row"]).take(pa.array(leaks[:ROWS_NAMED])).to_pylist()
        rows = ", ".join(f"{origin['file']} row {origin['row']}" for origin in origins)
        raise InputError(
            f"{path}: {len(leaks):,} of {held_out:,} validation and test rows have the text of a training row "
            f"({rows}{', …' if len(leaks) > ROWS_NAMED else ''}); remove them, split rows by their texts (no "
            f"--data.split-column or --data.group-column), or raise --data.max-leaks ({settings.max_leaks})"
        )
    distinct = sum(len(np.unique(texts[split == place])) for place in range(len(SPLITS)))
    return {"leaks": len(leaks), "duplicates": len(split) - distinct}
