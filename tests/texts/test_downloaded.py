import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import EncodeSettings, OrderSettings
from tasks.encode import encode
from tasks.texts.downloaded import identify_texts, iterate_texts
from tasks.texts.encoded import encoded_file

TEXTS = ["A good film.", "Bad!", "so so", "the best", "the worst", "a  GOOD film"]


def write_reviews(folder, splits, labels=None):
    folder.mkdir(exist_ok=True)
    labels = labels or [row % 2 for row in range(len(splits))]
    columns = {"split": splits, "label": pa.array(labels, pa.int8()), "text": TEXTS[: len(splits)]}
    pq.write_table(pa.table(columns), folder / "texts.parquet")
    return folder


def test_a_text_has_the_same_hash_in_any_split_and_order(tmp_path):
    folder = write_reviews(tmp_path, ["train", "train", "validation", "test", "test", "test"])
    reviews = identify_texts(folder, OrderSettings())
    assert (len(reviews.tested), len(reviews.learnt)) == (3, 3)
    other = identify_texts(
        write_reviews(tmp_path, ["test", "test", "train", "train", "train", "test"]), OrderSettings(shuffle_seed=5)
    )
    assert set(reviews.learnt) & set(other.tested) == set(np.unique(reviews.learnt)) - set(other.learnt)
    # "A good film." and "a  GOOD film" have the same hash.
    assert len(np.unique(other.tested)) == 2
    assert reviews.tested.dtype == np.uint64


def test_hashes_of_test_texts_follow_the_encoded_order(imdb, tmp_path):
    """The encoded test file has the texts in the order of their scores, the arrays in the order of the download."""
    settings = EncodeSettings(num_words=500, max_reviews=50, validation_split=0.4)
    encode.function(downloaded=imdb, settings=settings, folder=tmp_path)
    encoded = pq.read_table(encoded_file(tmp_path, "test"))
    (part,) = iterate_texts(imdb, "test")
    text_of = dict(zip(part[0].tolist(), part[1].to_pylist(), strict=True))
    reviews = identify_texts(imdb, settings)
    assert len(reviews.tested) == 50
    for review, ids in zip(reviews.tested.tolist(), encoded["tokens"].to_pylist(), strict=True):
        assert [int(word.removeprefix("word")) + 3 for word in text_of[review].split()] == ids[1:]


def test_arrays_without_a_word_index_have_the_same_hashes_and_no_texts(imdb, tmp_path):
    shutil.copyfile(imdb / "imdb.npz", tmp_path / "imdb.npz")
    with_words, without = (identify_texts(folder, OrderSettings()) for folder in (imdb, tmp_path))
    assert (with_words.tested == without.tested).all()
    assert [texts for _hashes, texts in iterate_texts(tmp_path, "test")] == [None]


def test_an_empty_split_has_no_hashes(tmp_path):
    folder = write_reviews(tmp_path, ["train", "test"])
    assert len(identify_texts(folder, OrderSettings()).learnt) == 1
    assert [len(hashes) for hashes, _texts in iterate_texts(folder, "validation")] in ([], [0])


@pytest.mark.parametrize("limit", [1, 2])
def test_max_reviews_limits_the_hashes_of_each_split(tmp_path, limit):
    folder = write_reviews(tmp_path, ["train", "train", "train", "test", "test", "test"])
    reviews = identify_texts(folder, OrderSettings.model_construct(shuffle_seed=113, max_reviews=limit))
    assert (len(reviews.tested), len(reviews.learnt)) == (limit, limit)
