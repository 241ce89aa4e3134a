"""Splitting: rows dealt out so that what belongs together stays together."""

import numpy as np


def draw_groups(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw whole groups, at random, until they have at least a share of the rows.

    Args:
        groups: (n,) names or numbers of the group of each row.
        share: of the rows.
        seed: of the order in which groups are drawn.

    Returns:
        (n,) bool, whether the row's group is drawn.
    """
    names, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    rows_before = np.cumsum(sizes[order]) - sizes[order]
    is_drawn = np.zeros(len(names), bool)
    is_drawn[order[rows_before < share * len(groups)]] = True
    drawn: np.ndarray = is_drawn[group_of_row]
    return drawn
