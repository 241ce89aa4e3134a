import socket

import pyarrow.parquet as pq
import pytest
from prefect import flow

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import SourceError, SourceUnreachable
from tasks.download import download, pin
from tests.support.small_reviews import Hostile, object_array, write_imdb
from tests.support.web import serving


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    sha256 = write_imdb(folder)
    with serving(folder) as (url, seen):
        yield url, seen, sha256


@pytest.fixture
def run_download(store, prefect_server):
    """A flow that runs the task with retry delays of milliseconds."""

    @flow
    def downloading(settings: SourceSettings):
        return download.with_options(retry_delay_seconds=0.01)(settings=settings)

    return downloading


def test_a_download_succeeds_after_two_failed_attempts(run_download, store, mirror):
    url, seen, sha256 = mirror
    artifact = run_download(SourceSettings(source=f"{url}/flaky/imdb.npz", sha256=sha256))
    assert seen["/flaky/imdb.npz"] == 3
    assert set(artifact.files) == {"imdb.npz", "imdb_word_index.json", "dataset.json"}
    assert artifact.meta["dataset"]["sha256"] == sha256


@pytest.mark.parametrize(
    ("behaviour", "tries", "error"),
    [
        ("short", 4, SourceUnreachable),
        ("broken", 4, SourceUnreachable),
        ("gone", 1, SourceError),
        ("reversed", 1, SourceError),
    ],
)
def test_only_transient_download_errors_are_retried(run_download, store, mirror, behaviour, tries, error):
    url, seen, sha256 = mirror
    with pytest.raises(error) as raised:
        run_download(SourceSettings(source=f"{url}/{behaviour}/imdb.npz", sha256=sha256))
    assert type(raised.value) is error
    assert seen[f"/{behaviour}/imdb.npz"] == tries
    assert list((store / "download").iterdir()) == []


def test_a_refused_connection_raises_source_unreachable(run_download, store):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/imdb.npz"
        with pytest.raises(SourceUnreachable):
            run_download(SourceSettings(source=url))


def test_a_hostile_pickle_with_the_expected_hash_is_never_executed(run_download, store, mirror, tmp_path):
    import hashlib

    import numpy as np

    from tasks.texts.downloaded import read_word_ranks

    url, _, _ = mirror
    hostile = object_array([[1], [2]])
    hostile[0] = Hostile(f"touch {tmp_path / 'ran'}")
    path = tmp_path / "mirror" / "imdb.npz"
    np.savez(path, x_train=hostile, y_train=np.array([0, 1]), x_test=hostile, y_test=np.array([0, 1]))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    artifact = run_download(SourceSettings(source=f"{url}/plain/imdb.npz", sha256=sha256))
    with pytest.raises(SourceError, match="was refused: it asks for"):
        read_word_ranks(store / artifact.key, "keras")
    assert not (tmp_path / "ran").exists()


def test_own_files_are_identified_by_name_and_content_in_any_folder(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood,1\n")
    first = pin(DataSettings(dataset=str(path)), pytest.fail)
    assert pin(DataSettings(dataset=str(path)), pytest.fail) == first
    (tmp_path / "other").mkdir()
    path = path.rename(tmp_path / "other" / "a.csv")
    assert pin(DataSettings(dataset=str(path)), pytest.fail).sha256 == first.sha256
    path = path.rename(tmp_path / "b.csv")
    assert pin(DataSettings(dataset=str(path)), pytest.fail).sha256 != first.sha256
    path = path.rename(tmp_path / "a.csv")
    path.write_text("text,label\nbad,0\n")
    assert pin(DataSettings(dataset=str(path)), pytest.fail).sha256 != first.sha256
    assert pin(DataSettings(), pytest.fail) == DataSettings()


def test_a_local_word_index_is_identified_by_its_content(tmp_path):
    sha256 = write_imdb(tmp_path)
    settings = DataSettings(source=str(tmp_path / "imdb.npz"), sha256=sha256)
    first = pin(settings, pytest.fail)
    assert pin(settings, pytest.fail) == first
    (tmp_path / "imdb_word_index.json").write_text('{"film": 1}')
    assert pin(settings, pytest.fail) != first
    (tmp_path / "imdb_word_index.json").unlink()
    assert pin(settings, pytest.fail) == settings
    assert pin(DataSettings(source="https://example.org/imdb.npz"), pytest.fail).word_index_sha256 is None


def test_all_tables_in_a_folder_are_read_and_skipped_files_are_named(run_download, store, tmp_path):
    folder = tmp_path / "reviews"
    folder.mkdir()
    for name in ("a.csv", "B.CSV"):
        rows = [f"{name} film {row},{row % 2}\n" for row in range(40)]
        (folder / name).write_text("text,label\n" + "".join(rows))
    for name in ("c.csv.zip", "README.txt"):
        (folder / name).write_text("")
    warned: list[str] = []
    artifact = run_download(pin(DataSettings(dataset=str(folder)), warned.append))
    assert sorted(set(pq.read_table(store / artifact.key / "texts.parquet")["file"].to_pylist())) == ["B.CSV", "a.csv"]
    assert warned == [f"{folder}: README.txt, c.csv.zip skipped; expected files in .csv, .tsv, .parquet, .jsonl, .json"]
