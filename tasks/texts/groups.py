"""Groups: training reviews of one thing, as a film, that no fold and no validation split may part."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUPS = "groups.parquet"
BLOCK = 50


def block_of(labels: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """Return the block of each review: its place within its label, by `size`.

    In the order in which reviews were published, neighbours within a label are often reviews of one film; where they
    are not, blocks are as good as any groups.

    Args:
        labels: (n,) integers in the source's own order, before any shuffle.
        size: reviews of a label that a block holds.

    Returns:
        (n,) int64; blocks have the same numbers in every label.
    """
    order = np.argsort(labels, kind="stable")
    _label, firsts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - np.repeat(firsts, counts)
    return places // size


def keep_together(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return a shuffled order with the rows of each group brought to where the first of them stands.

    Args:
        order: (m,) row numbers.
        groups: (n,) of every row.

    Returns:
        (m,) the same row numbers.
    """
    _group, firsts, number = np.unique(groups[order], return_index=True, return_inverse=True)
    return order[np.argsort(firsts[number], kind="stable")]


def group_boundary(groups: np.ndarray, cut: int) -> int:
    """Return the nearest row at or before `cut` that begins a group; the first of all would leave nothing before it.

    Args:
        groups: (n,) in which the rows of a group stand together.
        cut: from 0 to n.
    """
    if cut in (0, len(groups)):
        return cut
    begins = np.flatnonzero(np.diff(groups[: cut + 1])) + 1
    return int(begins[-1]) if len(begins) else 0


def fold_of(groups: np.ndarray, folds: int, seed: int = 1) -> np.ndarray:
    """Return the fold of each review, whole groups at a time, about as many groups in each.

    Args:
        groups: (n,) integers.
        folds: how many.
        seed: deals the groups.

    Returns:
        (n,) int8 from 0 to folds - 1.
    """
    names, number = np.unique(groups, return_inverse=True)
    dealt = np.random.RandomState(seed).permutation(len(names)) % folds
    return dealt[number].astype(np.int8)


def write_groups(folder: Path, groups: np.ndarray, *, together: bool) -> None:
    """Write the group of each encoded training review, in their order.

    Args:
        folder: where to write.
        groups: (n,) integers.
        together: whether those of a group stand together, for validation to take whole ones.
    """
    table = pa.table({"group": pa.array(groups, pa.int64())}).replace_schema_metadata({"together": str(together)})
    pq.write_table(table, folder / GROUPS, compression="zstd")


def read_groups(folder: Path) -> np.ndarray:
    """Return what `write_groups` wrote: (n,) int64."""
    groups: np.ndarray = pq.read_table(folder / GROUPS)["group"].to_numpy()
    return groups


def is_contiguous(folder: Path) -> bool:
    """Tell whether the reviews of each group stand together, for validation to take whole ones."""
    return bool(pq.read_schema(folder / GROUPS).metadata[b"together"] == b"True")
