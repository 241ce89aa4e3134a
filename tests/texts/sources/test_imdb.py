import json

import pytest

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import SourceError
from tasks.texts.sources.imdb import HOST, NPZ_SHA256, WORD_INDEX_MD5, fetch_imdb, read_word_index
from tests.support.small_reviews import write_imdb


def test_the_address_and_hashes_equal_those_in_keras():
    import inspect

    from keras.src.datasets import imdb

    source = inspect.getsource(imdb)
    assert all(fact in source for fact in (HOST, NPZ_SHA256, WORD_INDEX_MD5))


def test_arrays_and_word_index_are_copied_unchanged(tmp_path):
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


def test_the_published_hash_is_expected_by_default(tmp_path, tmp_path_factory):
    write_imdb(tmp_path)
    with pytest.raises(SourceError, match=f"expected {NPZ_SHA256}.*--data.sha256 HEX"):
        fetch_imdb(SourceSettings(source=f"{tmp_path}/imdb.npz"), tmp_path_factory.mktemp("here"), pytest.fail)


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"a": 1, "b": 3}', '{"a": 1, "b": 1}', '{"a": "x"}'])
def test_an_invalid_word_index_is_refused(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(SourceError, match="somewhere: "):
        read_word_index(tmp_path / "index.json", "somewhere")


def test_words_are_returned_in_order_of_rank(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps({"b": 2, "c": 3, "a": 1}))
    assert read_word_index(tmp_path / "index.json", "here") == ["a", "b", "c"]


def test_a_missing_word_index_is_a_warning_but_an_error_if_named(tmp_path, tmp_path_factory):
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


def test_a_word_index_with_an_unexpected_hash_is_refused(tmp_path, tmp_path_factory):
    source = {"source": str(tmp_path / "imdb.npz"), "sha256": write_imdb(tmp_path)}
    settings = SourceSettings(**source, word_index_sha256="0" * 64)
    with pytest.raises(SourceError, match=f"expected {'0' * 64}.*--data.word-index-sha256 HEX"):
        fetch_imdb(settings, tmp_path_factory.mktemp("here"), pytest.fail)
