import numpy as np
import pytest

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.downloaded import read_labels
from tasks.texts.groups import block_of
from tasks.texts.validation import check_labels, rows_of_splits, validation_cut


def test_the_validation_split_does_not_separate_whole_groups(imdb):
    labels = read_labels(imdb)
    rows = rows_of_splits(imdb, labels, EncodeSettings(whole_groups=True, validation_split=0.1))
    assert {split: source for split, (source, _rows) in rows.items()} == {
        "train": "train",
        "validation": "train",
        "test": "test",
    }
    train, validation = (rows[split][1] for split in ("train", "validation"))
    assert sorted([*train, *validation]) == list(range(240))
    groups = block_of(labels["train"])
    assert not set(groups[train]) & set(groups[validation])


def test_the_cut_moves_to_the_start_of_a_group_and_a_single_group_is_refused():
    assert validation_cut(10, 0.2, np.repeat([4, 7], [6, 4])) == 6
    with pytest.raises(DataError, match=r"the first 8 texts are one group, or alike; give more groups"):
        validation_cut(10, 0.2, np.repeat([4, 7], [9, 1]))


@pytest.mark.parametrize(("rows", "share"), [(25_000, 0.2), (101, 0.2), (10, 0.33), (7, 0.5)])
def test_validation_takes_the_end_of_the_training_texts_like_keras(rows, share):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    cut = validation_cut(rows, share)
    (expected_train,), (expected_validation,) = train_validation_split((np.arange(rows),), share)
    assert np.arange(rows)[:cut].tolist() == expected_train.tolist()
    assert np.arange(rows)[cut:].tolist() == expected_validation.tolist()


def test_small_datasets_have_a_minimum_number_of_validation_texts():
    rows = {train: train - validation_cut(train, 0.04) for train in (90, 120, 500, 2_000, 25_000)}
    assert rows == {90: 20, 120: 20, 500: 50, 2_000: 100, 25_000: 1_000}


def check(labels: dict[str, list[int]], names: tuple[str, ...], *, is_cut: bool = False, **settings: object) -> None:
    arrays = {split: np.array(its) for split, its in labels.items()}
    check_labels(arrays, names, EncodeSettings(**settings), is_cut=is_cut)


def test_a_split_without_one_of_the_labels_is_refused():
    names, both = ("bad", "good", "mixed"), [0, 2, 1]
    check({"train": both, "test": both}, names)
    for split in ("train", "test"):
        found = (
            f"none of the 3 {split} texts has the label 'mixed'; every split needs every label: give more such texts, "
        )
        with pytest.raises(DataError, match=f"^{found}or leave the label out of all splits$"):
            check({"train": both, "test": both} | {split: [0, 1, 1]}, names)
    with pytest.raises(DataError, match=r"raise --data.max-reviews \(10; none takes all texts\)"):
        check({"train": both, "test": [1] * 10}, names, max_reviews=10)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0] * 10 + [1] * 9, "validation has only 19 texts; expected at least 20"),
        ([1] * 30, "none of the 30 validation texts has the label 'bad'"),
    ],
)
def test_a_validation_split_that_is_too_small_or_lacks_a_label_is_refused(labels, found):
    splits = {"train": [0, 1] * 30, "validation": labels, "test": [0, 1]}
    with pytest.raises(DataError, match=f"^{found}.*: give more such texts") as own:
        check(splits, ("bad", "good"))
    assert "--data" not in str(own.value), "no flag changes a validation split of the download"
    with pytest.raises(DataError, match=f"^{found}.*, or raise --data.validation-split, or give --data.whole-groups"):
        check(splits, ("bad", "good"), is_cut=True)
    with pytest.raises(DataError, match=r"raise --data\.validation-split") as grouped:
        check(splits, ("bad", "good"), is_cut=True, whole_groups=True)
    assert "whole-groups" not in str(grouped.value)


def test_too_few_texts_are_refused_with_how_many_are_needed():
    splits = {"train": [0, 1] * 13, "validation": [0, 1], "test": [0, 1]}
    with pytest.raises(DataError, match=r"only 2 texts.*: training and validation have 28 together; give at least 60$"):
        check(splits, ("bad", "good"), is_cut=True)


def test_a_label_that_is_only_in_the_share_for_validation_is_refused():
    splits = {"train": [1] * 80, "validation": [0, 1] * 10, "test": [0, 1]}
    with pytest.raises(
        DataError, match=r"none of the 80 train texts has the label 'bad'.*lower --data.validation-split"
    ):
        check(splits, ("bad", "good"), is_cut=True)
    with pytest.raises(DataError, match=r"raise --data.max-reviews \(100; none takes all texts\)"):
        check(splits, ("bad", "good"), is_cut=True, max_reviews=100)
