"""Pad: turn token lists into a rectangle, cut validation from training, and write Parquet."""

import math
from pathlib import Path

import numpy as np

from tasks.core.data_settings import PadSettings
from tasks.core.errors import DataError
from tasks.store.step import step
from tasks.texts.encoded import Encoding, count_encoded, encoded_file, iterate_encoded, read_labels
from tasks.texts.groups import group_boundary, read_together
from tasks.texts.padded import MIN_VALIDATION_ROWS, pad_tokens, padded_file, padded_schema, write_padded

ENOUGH_ROWS = 100


def split_bounds(
    train_rows: int, test_rows: int, validation_split: float, validation_rows: int = 0
) -> dict[str, tuple[str, int, int]]:
    """Return the encoded split that each split is cut from, its first row, and the row after its last.

    Validation takes the end of the training texts, like Keras's `validation_split`, unless it has its own. It takes at
    least a tenth, or `ENOUGH_ROWS`, of them.
    """
    tenth = max(MIN_VALIDATION_ROWS, train_rows // 10)
    enough = min(ENOUGH_ROWS, tenth) if train_rows >= 3 * MIN_VALIDATION_ROWS else 0
    cut = train_rows if validation_rows else min(math.floor(train_rows * (1 - validation_split)), train_rows - enough)
    return {
        "train": ("train", 0, cut),
        "validation": ("validation", 0, validation_rows) if validation_rows else ("train", cut, train_rows),
        "test": ("test", 0, test_rows),
    }


def align_to_groups(bounds: dict[str, tuple[str, int, int]], groups: np.ndarray) -> dict[str, tuple[str, int, int]]:
    """Return bounds of `split_bounds` whose cut separates no group; `groups` are (train_rows,), each contiguous."""
    cut = group_boundary(groups, bounds["train"][2])
    if not cut:
        raise DataError(
            f"validation cannot be cut from training: the first {bounds['train'][2]} texts are one group, or alike; "
            "give more groups, or name validation rows with --data.split-column"
        )
    return bounds | {"train": ("train", 0, cut), "validation": ("train", cut, len(groups))}


def check_validation(labels: np.ndarray, label_count: int) -> None:
    """Refuse (n,) validation labels that cannot measure anything."""
    counts = np.bincount(labels, minlength=label_count)
    if len(labels) < MIN_VALIDATION_ROWS or not counts.all():
        missing = f" and {int((counts == 0).sum())} of {label_count} labels missing" if not counts.all() else ""
        raise DataError(
            f"validation would have {len(labels)} texts{missing}, which cannot measure a network; expected at least "
            f"{MIN_VALIDATION_ROWS} and every label: give more texts, a larger --data.validation-split, or "
            "--data.whole-groups, which takes the same share of every label"
        )


def check_training(labels: np.ndarray, label_count: int) -> None:
    """Refuse (n,) training labels of which some are only in the validation share that was taken from them."""
    if missing := int((np.bincount(labels, minlength=label_count) == 0).sum()):
        raise DataError(
            f"training would have no text of {missing} of {label_count} labels: all of theirs are in the share for "
            "validation; give more texts, or a smaller --data.validation-split"
        )


@step(run_name="pad to {settings.maxlen}")
def pad(*, encoded: Path, settings: PadSettings, folder: Path) -> dict[str, int]:
    """Write train, validation and test.parquet, and return the number of texts in each."""
    train_rows, test_rows = (count_encoded(encoded_file(encoded, split)) for split in ("train", "test"))
    own = encoded_file(encoded, "validation")
    bounds = split_bounds(train_rows, test_rows, settings.validation_split, count_encoded(own) if own.exists() else 0)
    if not own.exists() and (together := read_together(encoded)) is not None:
        bounds = align_to_groups(bounds, together)
    encoding = Encoding.read(encoded)
    options = settings.model_dump(include={"maxlen", "padding", "truncating"})
    facts = encoding.model_dump(include={"vocabulary_size", "labels", "start_char"})
    schema = padded_schema(rule=encoding.tokenisation, **facts, **options)
    labels, cut = read_labels(encoded_file(encoded, "train")), bounds["train"][2]
    check_validation(read_labels(own) if own.exists() else labels[cut:], encoding.labels)
    check_training(labels[:cut], encoding.labels)
    rows = {}
    for split, (source, start, stop) in bounds.items():
        batches = iterate_encoded(encoded_file(encoded, source), start, stop)
        parts = ((*pad_tokens(batch["tokens"], **options), batch["label"].to_numpy()) for batch in batches)
        rows[split] = write_padded(padded_file(folder, split), schema, parts)
    return rows
