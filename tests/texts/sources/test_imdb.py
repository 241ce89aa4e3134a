import json

import pytest

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import SourceError
from tasks.texts.sources.imdb import HOST, NPZ_SHA256, WORD_INDEX_MD5, fetch_imdb, read_word_index
from tests.support.small_reviews import write_imdb


def test_the_published_address_and_hashes_are_keras_own():
    import inspect

    from keras.src.datasets import imdb

    source = inspect.getsource(imdb)
    assert all(fact in source for fact in (HOST, NPZ_SHA256, WORD_INDEX_MD5))


def test_arrays_and_index_are_kept_as_they_came(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    sha256 = write_imdb(tmp_path / "there")
    settings = SourceSettings(source=str(tmp_path / "there" / "imdb.npz"), sha256=sha256)
    facts = fetch_imdb(settings, tmp_path / "here", pytest.fail)
    assert facts == {"name": "imdb", "source": (tmp_path / "there" / "imdb.npz").as_uri(), "sha256": sha256} | {
        "labels": ["negative", "positive"]
    }
    for name in ("imdb.npz", "imdb_word_index.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_without_a_hash_the_published_one_is_expected(tmp_path, tmp_path_factory):
    write_imdb(tmp_path)
    with pytest.raises(SourceError, match=f"expected {NPZ_SHA256}.*--data.sha256 HEX"):
        fetch_imdb(SourceSettings(source=f"{tmp_path}/imdb.npz"), tmp_path_factory.mktemp("here"), pytest.fail)


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"a": 1, "b": 3}', '{"a": 1, "b": 1}', '{"a": "x"}'])
def test_a_word_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(SourceError, match="somewhere: "):
        read_word_index(tmp_path / "index.json", "somewhere")


def test_words_come_in_order_of_rank(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps({"b": 2, "c": 3, "a": 1}))
    assert read_word_index(tmp_path / "index.json", "here") == ["a", "b", "c"]


def test_a_mirror_without_a_word_index_is_warned_about_and_a_named_one_must_be_there(tmp_path, tmp_path_factory):
    sha256 = write_imdb(tmp_path)
    (tmp_path / "imdb_word_index.json").unlink()
    here, said = tmp_path_factory.mktemp("here"), []
    source = {"source": str(tmp_path / "imdb.npz"), "sha256": sha256}
    fetch_imdb(SourceSettings(**source), here, said.append)
    assert [path.name for path in here.iterdir()] == ["imdb.npz"]
    assert len(said) == 1
    assert "--data.word-index" in said[0]
    with pytest.raises(SourceError, match="elsewhere"):
        fetch_imdb(SourceSettings(**source, word_index=str(tmp_path / "elsewhere.json")), here, pytest.fail)


def test_a_word_index_whose_hash_was_named_must_have_it(tmp_path, tmp_path_factory):
    source = {"source": str(tmp_path / "imdb.npz"), "sha256": write_imdb(tmp_path)}
    settings = SourceSettings(**source, word_index_sha256="0" * 64)
    with pytest.raises(SourceError, match=f"expected {'0' * 64}.*--data.word-index-sha256 HEX"):
        fetch_imdb(settings, tmp_path_factory.mktemp("here"), pytest.fail)
