"""Groups of texts about one thing, such as a film: folds do not separate them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUPS = "groups.parquet"
BLOCK_ROWS = 100  # of all labels together, if there are enough rows
MIN_BLOCKS = 50
ENOUGH_BLOCKS = 25  # to take a twenty-fifth of the texts for validation, as the presets do
VALIDATED = -1  # the block to validate on, if it is the only one that is sure to have every label
TRAINED = -2  # the other texts of labels that have only one there and one more


def first_equal(values: np.ndarray | pa.Array) -> np.ndarray:
    """Return the first row with the same value, for each of n rows: (n,) int64."""
    _value, firsts, number = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(firsts[number])


def block_of(labels: np.ndarray) -> np.ndarray:
    """Return the block of each text: neighbours within each label, with the same share of every label in each block.

    In the source's order, neighbours within a label are often about one film. If they are not, blocks do no harm. Every
    label is in every block, so folds and validation sets of whole blocks are stratified; a label of few texts is spread
    over some blocks, of which `VALIDATED` is one.

    Takes (n,) integer labels in the source's order; returns (n,) int64.
    """
    order = np.argsort(labels, kind="stable")
    _label, firsts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rarest = int(counts.min(initial=len(labels)))
    most = rarest if rarest >= ENOUGH_BLOCKS else max(rarest, len(labels) // 20)
    blocks = min(max(len(labels) // BLOCK_ROWS, MIN_BLOCKS), most)
    places = np.empty(len(labels), np.int64)
    place, count = np.arange(len(labels)) - np.repeat(firsts, counts), np.repeat(counts, counts)
    places[order] = place * blocks // count
    if rarest < blocks:
        places[places == 0] = VALIDATED
        places[order[(place == 1) & (count == 2)]] = TRAINED
    return places


def keep_together(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return an order with the rows of each group at the place of its first row, `TRAINED` first and `VALIDATED` last.

    Args:
        order: (m,) row numbers.
        groups: (n,) group of every row.
    """
    kept = groups[order]
    _group, firsts, number = np.unique(kept, return_index=True, return_inverse=True)
    places = np.select([kept == TRAINED, kept == VALIDATED], [-1, len(order)], firsts[number])
    return order[np.argsort(places, kind="stable")]


def group_boundary(groups: np.ndarray, cut: int) -> int:
    """Return the nearest row at or before `cut` where a group begins; 0 if that is the first group.

    Args:
        groups: (n,) groups, each contiguous.
        cut: from 0 to n.
    """
    if cut in (0, len(groups)):
        return cut
    begins = np.flatnonzero(np.diff(groups[: cut + 1])) + 1
    return int(begins[-1]) if len(begins) else 0


def fold_of(groups: np.ndarray, labels: np.ndarray, folds: int, seed: int = 1) -> np.ndarray:
    """Return the fold of each text, with whole groups and about as many groups in each fold: (n,) int8.

    If a label is in one group only, each text is a group. If a label of several groups is in one fold, its models would
    not have seen it: then the groups of each label are spread over the folds, those of the rarest label first.
    """
    names, number = np.unique(groups, return_inverse=True)
    of_label, of_group = np.divmod(np.unique(labels * np.int64(len(names)) + number), len(names))
    by_label = np.split(of_group, np.flatnonzero(np.diff(of_label)) + 1)
    if len(names) < len(labels) and min(map(len, by_label)) < 2:
        return fold_of(np.arange(len(labels)), labels, folds, seed)
    folds, order = min(folds, len(names)), np.random.RandomState(seed).permutation(len(names))
    fold_of_group = order % folds
    if any(len(its) > 1 and len(np.unique(fold_of_group[its])) < 2 for its in by_label):
        place, of_all = np.argsort(order), np.zeros(folds, np.int64)
        fold_of_group[:] = folds  # none yet
        for its in sorted(by_label, key=len):
            own = np.bincount(fold_of_group[its], minlength=folds + 1)
            for group in its[np.argsort(place[its])]:
                if fold_of_group[group] == folds:
                    fold = np.lexsort((of_all, own[:folds]))[0]
                    fold_of_group[group] = fold
                    own[fold] += 1
                    of_all[fold] += 1
    return fold_of_group[number].astype(np.int8)


def write_groups(folder: Path, groups: np.ndarray) -> None:
    """Write the group of each encoded training text, for folds: (n,) integers."""
    pq.write_table(pa.table({"group": groups}), folder / GROUPS, compression="zstd")


def read_groups(folder: Path) -> np.ndarray:
    """Read the group of each encoded training text: (n,) int64."""
    return np.asarray(pq.read_table(folder / GROUPS)["group"])
