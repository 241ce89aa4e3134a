import itertools
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.encode import encode
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import read_labels, read_word_ranks
from tasks.texts.encoded import Encoding, read_vocabulary, read_words
from tasks.texts.groups import block_of, read_groups
from tasks.texts.validation import rows_of_splits
from tasks.texts.vocabulary import UNRANKED
from tests.support.small_reviews import WORDS

DATASET = Dataset(name="own", sha256="", labels=("bad", "good"))
UNLIMITED = {"max_odd_lengths": 0.99, "max_unknown": 1}


def read_splits(folder, *splits) -> pa.Table:
    return pa.concat_tables(pq.read_table(folder / f"{split}.parquet") for split in splits)


@pytest.fixture
def keras_load_data(imdb, monkeypatch):
    """keras.datasets.imdb.load_data, which reads the generated file instead of the host's."""
    from keras.src.datasets import imdb as keras_imdb

    monkeypatch.setattr(keras_imdb, "get_file", lambda **_options: str(imdb / "imdb.npz"))
    return keras_imdb.load_data


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_words": 100},
        {"num_words": 100, "skip_top": 20},
        {"num_words": 50, "oov_char": None},
        {"num_words": 50, "start_char": None},
        {"num_words": None},
        {"num_words": None, "skip_top": 12, "oov_char": None},
        {"num_words": 80, "start_char": 3, "oov_char": 4, "index_from": 5, "shuffle_seed": 1},
        {"num_words": 80, "start_char": None, "index_from": 0},
    ],
)
def test_token_ids_and_labels_equal_those_of_keras(imdb, keras_load_data, tmp_path, options):
    settings = EncodeSettings(**options, **UNLIMITED)
    encode.function(downloaded=imdb, settings=settings, folder=tmp_path)
    rules = settings.model_dump(include={"num_words", "skip_top", "start_char", "oov_char", "index_from"})
    expected = keras_load_data(seed=settings.shuffle_seed, **rules)
    for splits, (x, y) in zip((("train", "validation"), ("test",)), expected, strict=True):
        table = read_splits(tmp_path, *splits)
        assert table["tokens"].to_pylist() == [list(review) for review in x]
        assert table["label"].to_pylist() == y.tolist()


def test_whole_groups_are_contiguous_and_texts_keep_their_labels(imdb, tmp_path):
    tables, labels = {}, read_labels(imdb)
    groups = block_of(labels["train"])
    for together in (False, True):
        folder, settings = tmp_path / str(together), EncodeSettings(whole_groups=together)
        folder.mkdir()
        encode.function(downloaded=imdb, settings=settings, folder=folder)
        table, places = read_splits(folder, "train", "validation"), rows_of_splits(imdb, labels, settings)
        assert read_groups(folder).tolist() == groups[places["train"][1]].tolist()
        its = groups[np.concatenate([places[split][1] for split in ("train", "validation")])]
        tables[together] = list(zip(table["tokens"].to_pylist(), table["label"].to_pylist(), its.tolist(), strict=True))
        assert pq.read_table(folder / "test.parquet") == pq.read_table(tmp_path / "False" / "test.parquet")
    assert sorted(tables[True]) == sorted(tables[False])
    runs = [group for group, _its in itertools.groupby(row[2] for row in tables[True])]
    assert len(runs) == len(set(runs)) == 50


def test_the_encoding_and_the_vocabulary_are_written(imdb, tmp_path):
    counts = encode.function(downloaded=imdb, settings=EncodeSettings(num_words=100, **UNLIMITED), folder=tmp_path)
    assert counts == {"train": 240, "test": 80, "words": WORDS - 1}
    assert read_vocabulary(tmp_path)[:2] == ["word1", "word2"]
    assert Encoding.read(tmp_path).vocabulary_size == 100
    assert json.loads((tmp_path / "encoding.json").read_text())["index_from"] == 3


def test_without_num_words_the_vocabulary_ends_after_the_highest_id(imdb, tmp_path):
    encode.function(downloaded=imdb, settings=EncodeSettings(num_words=None), folder=tmp_path)
    highest = max(
        pq.read_table(tmp_path / f"{s}.parquet")["tokens"].combine_chunks().flatten().to_numpy().max()
        for s in ("train", "test")
    )
    assert Encoding.read(tmp_path).vocabulary_size == highest + 1


def test_max_reviews_selects_the_first_texts_after_the_shuffle(imdb, tmp_path):
    for name, most in (("all", None), ("few", 30)):
        (tmp_path / name).mkdir()
        settings = EncodeSettings(max_reviews=most, validation_split=0.7)
        encode.function(downloaded=imdb, settings=settings, folder=tmp_path / name)
    few, all_of_them = (read_splits(tmp_path / name, "train", "validation") for name in ("few", "all"))
    assert few.num_rows == 30
    assert few.to_pylist() == all_of_them.slice(0, 30).to_pylist()


def test_a_word_index_without_words_for_all_used_ranks_is_refused(imdb, tmp_path):
    for name in ("imdb.npz", "dataset.json"):
        shutil.copy(imdb / name, tmp_path)
    words = {f"word{rank}": rank for rank in range(1, 61)}
    (tmp_path / "imdb_word_index.json").write_text(json.dumps(words))
    folder = tmp_path / "encoded"
    folder.mkdir()
    with pytest.raises(DataError, match=r"the word index has 60 words, but the texts have rank 96: .*word-index"):
        encode.function(downloaded=tmp_path, settings=EncodeSettings(num_words=100, **UNLIMITED), folder=folder)
    # Ranks beyond `num_words` need not be in the word index.
    assert (
        encode.function(downloaded=tmp_path, settings=EncodeSettings(num_words=64, **UNLIMITED), folder=folder)["words"]
        == 60
    )
    with pytest.raises(DataError, match="but the texts have rank 61"):
        encode.function(downloaded=tmp_path, settings=EncodeSettings(num_words=65, **UNLIMITED), folder=folder)


def test_the_vocabulary_is_built_from_the_training_texts_only(tmp_path):
    texts = ["Good, good film", "unseen good", "bad film"]
    reviews = pa.table({"split": ["train", "test", "train"], "label": [1, 0, 0], "text": texts})
    pq.write_table(reviews, tmp_path / "texts.parquet")
    DATASET.write(tmp_path)
    ranked = read_word_ranks(tmp_path, "keras")
    assert ranked.vocabulary == ["good", "film", "bad"]
    ranks = {split: pa.concat_arrays(list(parts())).to_pylist() for split, parts in ranked.parts.items()}
    assert ranks == {"train": [[1, 1, 2], [3, 2]], "test": [[UNRANKED, 1]]}
    assert ranked.labels["train"].tolist() == [1, 0]


def test_texts_in_another_language_are_refused_with_file_and_row(tmp_path):
    texts = ["good film", "bad film", "un film superbe et fin", "le pire", *["good film", "bad film"] * 10]
    splits = ["train", "train", "test", "test", *["validation"] * 20]
    columns = {"split": splits, "label": [1, 0] * 12, "text": texts, "file": ["a.csv"] * 24}
    pq.write_table(pa.table(columns | {"row": np.arange(24) + 1}), tmp_path / "texts.parquet")
    DATASET.write(tmp_path)
    folder = tmp_path / "encoded"
    folder.mkdir()
    with pytest.raises(DataError, match=r"85.7% of the words of the test texts .*a\.csv row 4 \(2 of 2\)"):
        encode.function(downloaded=tmp_path, settings=EncodeSettings(), folder=folder)
    counts = encode.function(downloaded=tmp_path, settings=EncodeSettings(max_unknown=0.9), folder=folder)
    assert counts == {"train": 2, "test": 2, "validation": 20, "words": 3}
    its = read_words(folder)["test"]
    assert (its["unknown"], its["words"]) == (6, 7)
