"""Groups of texts about one thing, such as a film: folds do not separate them, and each is a slice of the test."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

GROUPS, SLICES = "groups.parquet", "slices.parquet"
BLOCK_ROWS = 100  # of all labels together, if there are enough rows
MIN_BLOCKS = 50


def block_of(labels: np.ndarray) -> np.ndarray:
    """Return the block of each text: neighbours within each label, with the same share of every label in each block.

    In the source's order, neighbours within a label are often about one film. If they are not, blocks do no harm. Every
    label is in every block, so folds and validation sets of whole blocks are stratified.

    Takes (n,) integer labels in the source's order; returns (n,) int64 from 0, at most as many blocks as texts with the
    rarest label.
    """
    order = np.argsort(labels, kind="stable")
    _label, firsts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rarest = int(counts.min(initial=len(labels)))
    blocks = min(max(len(labels) // BLOCK_ROWS, MIN_BLOCKS), rarest)
    places = np.empty(len(labels), np.int64)
    places[order] = (np.arange(len(labels)) - np.repeat(firsts, counts)) * blocks // np.repeat(counts, counts)
    return places


def keep_together(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return an order with the rows of each group moved to the place of the group's first row.

    Args:
        order: (m,) row numbers.
        groups: (n,) group of every row.
    """
    _group, firsts, number = np.unique(groups[order], return_index=True, return_inverse=True)
    return order[np.argsort(firsts[number], kind="stable")]


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

    If that leaves a label of several groups in one fold, its models would not have seen it: then the groups of each
    label are spread over the folds, those of the rarest label first.
    """
    names, number = np.unique(groups, return_inverse=True)
    order = np.random.RandomState(seed).permutation(len(names))
    fold_of_group = order % folds
    has = np.zeros((int(labels.max(initial=0)) + 1, len(names)), bool)
    has[labels, number] = True
    if any(its.sum() > 1 and len(np.unique(fold_of_group[its])) < 2 for its in has):
        fold_of_group[:] = folds  # none yet
        for its in has[np.argsort(has.sum(axis=1), kind="stable")]:
            for group in order[its[order] & (fold_of_group[order] == folds)]:
                of_label, of_all = (
                    np.bincount(these, minlength=folds)[:folds] for these in (fold_of_group[its], fold_of_group)
                )
                fold_of_group[group] = np.lexsort((of_all, of_label))[0]
    return fold_of_group[number].astype(np.int8)


def write_groups(folder: Path, groups: np.ndarray, *, together: bool) -> None:
    """Write the group of each encoded training text: (n,) integers; `together` says whether groups are contiguous."""
    table = pa.table({"group": pa.array(groups, pa.int64())}).replace_schema_metadata({"together": str(together)})
    pq.write_table(table, folder / GROUPS, compression="zstd")


def read_groups(folder: Path) -> np.ndarray:
    """Read the group of each encoded training text: (n,) int64."""
    return np.asarray(pq.read_table(folder / GROUPS)["group"])


def is_contiguous(folder: Path) -> bool:
    """Return whether the encoded texts of each group are contiguous, so that validation can take whole groups."""
    return bool(pq.read_schema(folder / GROUPS).metadata[b"together"] == b"True")


def large_slices(values: pa.Array, min_rows: int) -> pa.DictionaryArray:
    """Return n strings, with null for those that fewer than `min_rows` rows have."""
    names, rows = values.value_counts().flatten()
    large = names.filter(pc.greater_equal(rows, min_rows))
    return pa.DictionaryArray.from_arrays(pc.index_in(values, large), large)


def write_slices(folder: Path, slices: pa.DictionaryArray) -> None:
    """Write the value of each test text, in the order in which they are scored; null for rare ones."""
    pq.write_table(pa.table({"value": slices}), folder / SLICES, compression="zstd")


def read_slices(folder: Path) -> pa.DictionaryArray:
    """Read slices.parquet."""
    return pq.read_table(folder / SLICES)["value"].combine_chunks()
