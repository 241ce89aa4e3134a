import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.data_settings import DataSettings, EncodeSettings, PadSettings
from tasks.core.errors import DataError
from tasks.download import download
from tasks.encode import encode
from tasks.pad import align_to_groups, check_training, check_validation, pad, split_bounds
from tasks.texts.encoded import iterate_encoded
from tasks.texts.groups import read_groups
from tasks.texts.padded import PaddedFile, pad_tokens

SIDE = st.sampled_from(["pre", "post"])


@given(
    st.lists(st.lists(st.integers(1, 9_999), max_size=30), min_size=1, max_size=20),
    st.integers(1, 40),
    SIDE,
    SIDE,
)
def test_padded_tokens_equal_those_of_keras(reviews, maxlen, padding, truncating):
    from keras.utils import pad_sequences

    tokens, kept = pad_tokens(pa.array(reviews, pa.list_(pa.uint16())), maxlen, padding=padding, truncating=truncating)
    assert (tokens == pad_sequences(reviews, maxlen=maxlen, padding=padding, truncating=truncating)).all()
    assert kept.tolist() == [min(len(review), maxlen) for review in reviews]
    assert tokens.dtype == np.uint16


@given(st.lists(st.lists(st.integers(1, 9_999), max_size=30), min_size=1, max_size=20), st.integers(1, 40), SIDE)
def test_truncating_the_middle_keeps_both_ends_of_long_texts(reviews, maxlen, padding):
    tokens, kept = pad_tokens(pa.array(reviews, pa.list_(pa.uint16())), maxlen, padding=padding, truncating="middle")
    for review, row, count in zip(reviews, tokens.tolist(), kept, strict=True):
        head = maxlen // 4
        expected = review if len(review) <= maxlen else review[:head] + review[len(review) - maxlen + head :]
        assert len(expected) == count
        assert row == (([0] * (maxlen - count) + expected) if padding == "pre" else expected + [0] * (maxlen - count))


def test_the_validation_split_does_not_separate_whole_groups(imdb, tmp_path):
    (tmp_path / "encoded").mkdir()
    encode.function(downloaded=imdb, settings=EncodeSettings(whole_groups=True), folder=tmp_path / "encoded")
    groups = read_groups(tmp_path / "encoded")
    settings = PadSettings(maxlen=40, validation_split=0.1)
    rows = pad.function(encoded=tmp_path / "encoded", settings=settings, folder=tmp_path)
    assert rows["train"] + rows["validation"] == 240
    assert not set(groups[: rows["train"]]) & set(groups[rows["train"] :])
    assert set(rows) == {"train", "validation", "test"}


def test_the_cut_moves_to_the_start_of_a_group_and_a_single_group_is_refused():
    bounds = split_bounds(10, 5, 0.2)
    assert align_to_groups(bounds, np.repeat([4, 7], [6, 4]))["validation"] == ("train", 6, 10)
    with pytest.raises(DataError, match=r"the first 8 texts are one group, or alike; give more groups"):
        align_to_groups(bounds, np.repeat([4, 7], [9, 1]))


@pytest.mark.parametrize(("rows", "share"), [(25_000, 0.2), (101, 0.2), (10, 0.33), (7, 0.5)])
def test_validation_takes_the_end_of_the_training_texts_like_keras(rows, share):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    bounds = split_bounds(rows, 5, share)
    (expected_train,), (expected_validation,) = train_validation_split((np.arange(rows),), share)
    assert np.arange(rows)[slice(*bounds["train"][1:])].tolist() == expected_train.tolist()
    assert np.arange(rows)[slice(*bounds["validation"][1:])].tolist() == expected_validation.tolist()
    assert bounds["test"] == ("test", 0, 5)


def test_the_padded_splits_have_each_encoded_text_once_and_in_order(imdb, tmp_path):
    (tmp_path / "encoded").mkdir()
    encode.function(downloaded=imdb, settings=EncodeSettings(), folder=tmp_path / "encoded")
    rows = pad.function(encoded=tmp_path / "encoded", settings=PadSettings(maxlen=40), folder=tmp_path)
    assert rows == {"train": 192, "validation": 48, "test": 80}
    for source, splits in (("train", ["train", "validation"]), ("test", ["test"])):
        its = [padded for split in splits for padded in PaddedFile(tmp_path / f"{split}.parquet")]
        assert [len(padded.tokens) for padded in its] == [rows[split] for split in splits]
        (encoded,) = iterate_encoded(tmp_path / "encoded" / f"{source}.parquet", 0, 240)
        tokens, lengths = pad_tokens(encoded["tokens"], 40, padding="pre", truncating="pre")
        assert (np.concatenate([padded.tokens for padded in its]) == tokens).all()
        assert np.concatenate([padded.lengths for padded in its]).tolist() == lengths.tolist()
        assert np.concatenate([padded.labels for padded in its]).tolist() == encoded["label"].to_pylist()


def test_small_datasets_have_a_minimum_number_of_validation_texts():
    rows = {train: train - split_bounds(train, 5, 0.04)["train"][2] for train in (90, 120, 500, 2_000, 25_000)}
    assert rows == {90: 20, 120: 20, 500: 50, 2_000: 100, 25_000: 1_000}


def test_a_training_split_without_one_of_the_labels_is_refused():
    check_training(np.array([0, 2, 1]), 3)
    with pytest.raises(DataError, match="training would have no text of 1 of 3 labels"):
        check_training(np.array([0, 1, 1]), 3)


@pytest.mark.parametrize(("labels", "missing"), [([0] * 10 + [1] * 9, ""), ([1] * 30, " and 1 of 2 labels missing")])
def test_a_validation_split_that_is_too_small_or_lacks_a_label_is_refused(labels, missing):
    with pytest.raises(DataError, match=f"validation would have {len(labels)} texts{missing}, which cannot measure"):
        check_validation(np.array(labels), 2)


@pytest.mark.parametrize("whole_groups", [False, True])
@pytest.mark.parametrize("oversampled", [False, True])
def test_validation_cut_from_training_shares_no_text_with_it(tmp_path, whole_groups, oversampled):
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 99, 6)) for _ in range(300)]
    label_of = {text: "pos" if place % 10 == 0 else "neg" for place, text in enumerate(texts)}
    train = texts + 9 * texts[::10] if oversampled else texts * 2
    for name, lines in (("train", train), ("test", texts)):
        rows = [f"{text}{' x' * (name == 'test')},{label_of[text]}" for text in lines]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]))
    folders = [tmp_path / name for name in ("downloaded", "encoded", "padded")]
    for folder in folders:
        folder.mkdir()
    data = DataSettings(dataset=f"{tmp_path}/", validation_split=0.1, whole_groups=whole_groups, max_unknown=1)
    download.function(settings=data, folder=folders[0])
    encode.function(downloaded=folders[0], settings=data, folder=folders[1])
    rows = pad.function(encoded=folders[1], settings=data, folder=folders[2])
    encoded = pq.read_table(folders[1] / "train.parquet")
    texts, labels = map(tuple, encoded["tokens"].to_pylist()), encoded["label"].to_pylist()
    train, validation = set(itertools.islice(texts, rows["train"])), set(texts)
    assert 57 <= rows["validation"] <= 90
    assert not train & validation
    assert set(labels[rows["train"] :]) == {0, 1}
