import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.groups import (
    block_of,
    fold_of,
    group_boundary,
    is_contiguous,
    keep_together,
    read_groups,
    write_groups,
)


def test_a_block_has_fifty_neighbours_of_each_label():
    labels = np.repeat([1, 0], 5000)
    assert block_of(labels).tolist() == np.repeat(np.arange(100), 50).tolist() * 2


@given(st.lists(st.integers(1, 200), min_size=2, max_size=6), st.randoms())
def test_every_label_is_spread_evenly_over_the_blocks(counts, random):
    labels = np.repeat(np.arange(len(counts)), counts)
    random.shuffle(labels)
    blocks = block_of(labels)
    assert blocks.max() + 1 == min(max(len(labels) // 100, 50), min(counts))
    for label in range(len(counts)):
        rows = np.bincount(blocks[labels == label], minlength=blocks.max() + 1)
        assert rows.max() - rows.min() <= 1
        assert rows.min() >= 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 9))
def test_keep_together_makes_groups_contiguous_and_loses_no_row(groups, seed):
    groups = np.array(groups)
    order = np.random.default_rng(seed).permutation(len(groups))[: max(1, len(groups) - 2)]
    together = keep_together(order, groups)
    assert sorted(together) == sorted(order)
    runs = groups[together][np.flatnonzero(np.diff(groups[together], prepend=-1))]
    assert len(runs) == len(set(runs.tolist()))
    assert together[0] == order[0]


@pytest.mark.parametrize(("cut", "expected"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 2), (5, 5), (6, 6)])
def test_a_cut_moves_back_to_the_start_of_a_group(cut, expected):
    assert group_boundary(np.array([7, 7, 3, 3, 3, 9]), cut) == expected


@given(st.lists(st.integers(-9, 10**15), min_size=8, max_size=60), st.integers(2, 4))
def test_folds_have_whole_groups_in_nearly_equal_numbers(names, folds):
    groups = np.array(names)
    labels = np.zeros(len(groups), np.int8)
    assigned = fold_of(groups, labels, folds)
    by_group = {group: set(assigned[groups == group].tolist()) for group in names}
    assert all(len(its) == 1 for its in by_group.values())
    sizes = np.bincount([its.pop() for its in by_group.values()], minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    assert (assigned == fold_of(groups, labels, folds)).all()


@given(st.integers(0, 99), st.integers(2, 4))
def test_no_label_of_several_groups_is_in_one_fold_only(seed, folds):
    groups = np.arange(96)
    labels = np.where(groups < 24, groups // 2, 12 + groups % 3).astype(np.int8)  # twelve labels are in two groups
    assigned = fold_of(groups, labels, folds, seed)
    assert all(len(set(assigned[labels == label].tolist())) > 1 for label in range(15))
    sizes = np.bincount(assigned, minlength=folds)
    assert sizes.max() - sizes.min() <= 3


def test_groups_and_their_contiguity_are_read_back_as_written(tmp_path):
    write_groups(tmp_path, np.array([3, 1, 2**40]), together=True)
    assert is_contiguous(tmp_path)
    write_groups(tmp_path, np.array([3, 1, 2**40]), together=False)
    assert not is_contiguous(tmp_path)
    assert read_groups(tmp_path).tolist() == [3, 1, 2**40]
