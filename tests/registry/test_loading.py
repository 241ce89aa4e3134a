import os
import shutil
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.core.errors import ModelError, RegistryError
from tasks.network.bundle import open_onnx
from tasks.registry.client import registry
from tasks.registry.loading import FoundVersion, fetch_bundle, find_version, has_files, load_version, take_packaged
from tasks.registry.local_registry import own_database
from tasks.store.store import Store
from tests.support.champions import MODEL, store_with_champion
from tests.support.keras_scorer import open_keras

TEXTS = pa.array(["a good film", "bad"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store whose registry has a champion; creating its database takes seconds, so the tests share it."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        yield root


def test_a_version_is_found_by_alias_number_or_model_name(store):
    champion = find_version(None, None, None)
    assert (champion.name, champion.registered_model, champion.number) == (f"{MODEL} version 1", MODEL, 1)
    assert find_version("1", None, None) == find_version(None, MODEL, None) == champion
    with pytest.raises(RegistryError, match=f"{MODEL} has no version 7; it has 1"):
        find_version("7", None, None)
    with pytest.raises(ModelError, match="another has no champion yet"):
        find_version(None, "another", None)


def test_a_bundle_in_the_store_is_loaded_in_place_by_keras_and_onnx(store, tmp_path):
    found = find_version(None, None, None)
    assert fetch_bundle(found, None, tmp_path) == store / "registered"
    assert list(tmp_path.iterdir()) == []
    assert load_version(found, None, open_keras).predict(TEXTS) == pytest.approx(
        load_version(found, None, open_onnx).predict(TEXTS), abs=1e-5
    )


def test_changed_or_missing_files_are_refused_before_loading(store, tmp_path):
    found = find_version(None, None, None)
    network = store / "registered" / "model.onnx"
    content = network.read_bytes()
    network.write_bytes(content[:-1] + b"!")
    with pytest.raises(RegistryError, match="version 1: its files are not those that were registered"):
        load_version(found, None, pytest.fail)
    network.unlink()
    with pytest.raises(RegistryError, match="version 1: its files are not available at file://"):
        load_version(found, None, pytest.fail)
    network.write_bytes(content)


@pytest.mark.parametrize("uri", [None, "sqlite:///mlflow.db"])
@pytest.mark.parametrize("as_uri", [Path.as_uri, str])
def test_a_registry_of_this_machine_is_asked_for_the_content_of_its_files(store, uri, as_uri):
    content = find_version(None, None, None).content
    assert has_files(as_uri(store / "registered"), content, uri)
    assert not has_files(as_uri(store / "registered"), "another", uri)
    assert not has_files(as_uri(store / "nowhere"), content, uri)
    assert has_files(as_uri(store / "nowhere"), content, "http://host")  # a folder of that machine


def test_a_version_registered_by_another_project_is_refused(store):
    with registry(None) as client:
        client.create_registered_model("of-others")
        client.create_model_version("of-others", (store / "registered").as_uri(), await_creation_for=0)
    with pytest.raises(RegistryError, match=r"of-others version 1: has no hash .* this project has not registered it"):
        find_version("1", "of-others", None)


def test_a_missing_or_damaged_registry_is_reported(store, tmp_path, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path))
    with pytest.raises(ModelError, match="no model has a champion yet: train one"):
        find_version(None, None, None)
    assert list(tmp_path.iterdir()) == []
    own_database().parent.mkdir()
    own_database().write_bytes(b"not a database" * 100)
    with pytest.raises(RegistryError, match=r"its database cannot be used \(file is not a database\); bring back"):
        find_version(None, None, None)


def test_an_unfinished_transaction_of_a_killed_writer_is_rolled_back(store, tmp_path, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path))
    own_database().parent.mkdir()
    with sqlite3.connect(store / "mlflow" / "mlflow.db") as source, sqlite3.connect(own_database()) as copy:
        source.backup(copy)
    writer = sqlite3.connect(own_database(), isolation_level=None)
    writer.execute("PRAGMA cache_spill = 1")
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM registered_model_aliases")
    writer.execute(
        "CREATE TABLE large AS WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
        "SELECT randomblob(100) FROM n"
    )
    for name in ("mlflow.db", "mlflow.db-journal"):  # as they are on disk when the writer is killed
        (own_database().parent / f"killed-{name}").write_bytes((own_database().parent / name).read_bytes())
    writer.close()
    for name in ("mlflow.db", "mlflow.db-journal"):
        (own_database().parent / f"killed-{name}").rename(own_database().parent / name)
    assert find_version(None, None, None).number == 1


@pytest.mark.parametrize("is_writable", [True, False])
def test_a_run_is_marked_as_used_only_if_the_store_is_writable(tmp_path, monkeypatch, is_writable):
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path))
    made, _ = Store(tmp_path).get_or_make("package/a", lambda folder: {"n": (folder / "a.txt").write_text("abc")})
    shutil.rmtree(tmp_path / "locks")
    metrics = tmp_path / "runs" / "1" / "metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.touch()
    os.utime(metrics, (0, 0))
    monkeypatch.setattr(os, "access", lambda *_: is_writable)
    run = metrics.parent.resolve()
    assert take_packaged(FoundVersion("run 1", made.key, made.sha256, run=run), run) == tmp_path / "package" / "a"
    assert (metrics.stat().st_mtime > 0, (tmp_path / "locks").exists()) == (is_writable, is_writable)
