import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.texts.groups import VALIDATED, block_of, fold_of, group_boundary, keep_together, read_groups, write_groups


def test_a_block_has_fifty_neighbours_of_each_label():
    labels = np.repeat([1, 0], 5000)
    assert block_of(labels).tolist() == np.repeat(np.arange(100), 50).tolist() * 2


@given(st.lists(st.integers(1, 200).filter(lambda count: count != 2), min_size=2, max_size=6), st.randoms())
def test_every_label_is_spread_evenly_over_the_blocks(counts, random):
    labels = np.repeat(np.arange(len(counts)), counts)
    random.shuffle(labels)
    blocks = np.maximum(block_of(labels), 0)
    most = max(len(labels) // 100, 50)
    assert min(most, min(counts)) <= blocks.max() + 1 <= most
    for label in range(len(counts)):
        rows = np.bincount(blocks[labels == label], minlength=blocks.max() + 1)
        assert rows.max() - rows.min() <= 1
        assert rows[0] >= 1


@pytest.mark.parametrize("rare", [2, 3, 24])
def test_a_rare_label_leaves_the_blocks_small_and_one_of_them_has_every_label(rare):
    labels = np.repeat([0, 1, 2], [3000, 3000 - rare, rare])
    blocks = block_of(labels)
    assert np.unique(blocks, return_counts=True)[1].max() < 110
    assert set(labels[blocks == VALIDATED]) == {0, 1, 2}
    order = keep_together(np.random.RandomState(1).permutation(6000), blocks)
    assert set(labels[order][-100:]) == {0, 1, 2}
    assert set(labels[order][:-110]) == {0, 1, 2}
    assert (labels[order[0]] == 2) == (rare == 2)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 9))
def test_keep_together_makes_groups_contiguous_and_loses_no_row(groups, seed):
    groups = np.array(groups)
    order = np.random.default_rng(seed).permutation(len(groups))[: max(1, len(groups) - 2)]
    together = keep_together(order, groups)
    last = keep_together(order, np.where(groups == groups[order[0]], VALIDATED, groups))
    assert groups[last[-1]] == groups[order[0]]
    assert sorted(together) == sorted(order)
    runs = groups[together][np.flatnonzero(np.diff(groups[together], prepend=-1))]
    assert len(runs) == len(set(runs.tolist()))
    assert together[0] == order[0]


@pytest.mark.parametrize(("cut", "expected"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 2), (5, 5), (6, 6)])
def test_a_cut_moves_back_to_the_start_of_a_group(cut, expected):
    assert group_boundary(np.array([7, 7, 3, 3, 3, 9]), cut) == expected


@given(st.lists(st.integers(-9, 10**15), min_size=8, max_size=60), st.integers(2, 4))
def test_folds_have_whole_groups_in_nearly_equal_numbers(names, folds):
    assume(len(set(names)) > 1)
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


def test_each_text_is_a_group_if_a_label_is_in_one_group_only():
    labels = np.arange(40) % 2
    assert fold_of(labels, labels, 4).tolist() == fold_of(np.arange(40), labels, 4).tolist()
    assert len(np.unique(fold_of(labels, labels, 4)[labels == 0])) == 4
    assert set(fold_of(np.array([5, 5, 6, 6]), np.array([0, 1, 0, 1]), 10).tolist()) == {0, 1}


def test_the_groups_of_folds_are_read_back_as_written(tmp_path):
    write_groups(tmp_path, np.array([3, 1, 2**40]))
    assert read_groups(tmp_path).tolist() == [3, 1, 2**40]
