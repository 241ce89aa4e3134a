"""Splitting: rows dealt out so that what belongs together stays together."""

import numpy as np


def split_by_group(groups: list[str], test_share: float, seed: int) -> list[str]:
    """Return "train" or "test" for each row, so that no group is in both.

    Args:
        groups: the group of each row.
        test_share: groups are put into test until it has at least this share of the rows.
        seed: of the order in which groups are drawn.
    """
    names, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    rows_before = np.cumsum(sizes[order]) - sizes[order]
    is_test = np.zeros(len(names), bool)
    is_test[order[rows_before < test_share * len(groups)]] = True
    return ["test" if its else "train" for its in is_test[group_of_row]]
