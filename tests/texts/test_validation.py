import numpy as np
import pytest

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.downloaded import read_labels
from tasks.texts.groups import block_of
from tasks.texts.validation import check_labels, split_rows, validation_cut


def test_the_validation_split_does_not_separate_whole_groups(imdb):
    labels = read_labels(imdb)
    rows = split_rows(imdb, labels, EncodeSettings(whole_groups=True, validation_split=0.1))
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


def test_a_split_without_one_of_the_labels_is_refused():
    names, both = ("bad", "good", "mixed"), np.array([0, 2, 1])
    check_labels({"train": both, "test": both}, names)
    for split in ("train", "test"):
        with pytest.raises(DataError, match=f"none of the 3 {split} texts has the label 'mixed'"):
            check_labels({"train": both, "test": both} | {split: np.array([0, 1, 1])}, names)
    with pytest.raises(DataError, match=r"raise --data.max-reviews \(none takes all texts\)"):
        check_labels({"train": both, "test": np.array([1, 1])}, names)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0] * 10 + [1] * 9, "validation has only 19 texts"),
        ([1] * 30, "none of the 30 validation texts has the label 'bad'"),
    ],
)
def test_a_validation_split_that_is_too_small_or_lacks_a_label_is_refused(labels, found):
    with pytest.raises(DataError, match=f"{found}; .* validation 20 texts"):
        check_labels({"train": np.array([0, 1]), "validation": np.array(labels)}, ("bad", "good"))
