import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.core.errors import RegistryError
from tasks.registry.client import experiment_id, registry
from tasks.registry.local_registry import own_artifacts, own_database

HOSTILE = "a b#c%20d?e&f=g"
CLASSIFIER = "classifier"


def log_a_model(text: str) -> str:
    """Log a run with one file, register it, and return the version."""
    with registry(None) as client:
        experiment = experiment_id(client, None, "imdb-pipeline")
        run = client.create_run(experiment)
        client.log_text(run.info.run_id, text, f"{CLASSIFIER}/classifier.json")
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models("name = 'imdb-classifier'"):
            client.create_registered_model("imdb-classifier")
        source = f"{run.info.artifact_uri}/{CLASSIFIER}"
        return str(client.create_model_version("imdb-classifier", source, run.info.run_id).version)


def read_the_model(version: str, scratch: Path) -> str:
    with registry(None) as client:
        found = client.get_model_version("imdb-classifier", version)
        assert found.source.startswith(own_artifacts())
        return Path(client.download_artifacts(found.run_id, CLASSIFIER, str(scratch)), "classifier.json").read_text()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def use(monkeypatch, store: Path) -> None:
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))


@pytest.mark.parametrize("is_copied", [False, True], ids=["moved", "copied"])
def test_a_moved_or_copied_store_uses_its_new_location(tmp_path, monkeypatch, caplog, is_copied):
    old, new, scratch = tmp_path / "was" / HOSTILE, tmp_path / HOSTILE, tmp_path / "scratch"
    use(monkeypatch, old)
    first = log_a_model("first")
    if is_copied:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    before = files(tmp_path / "was")
    use(monkeypatch, new)
    assert read_the_model(first, scratch / "1") == "first"
    assert read_the_model(log_a_model("second"), scratch / "2") == "second"
    assert files(tmp_path / "was") == before
    (line,) = [record.message for record in caplog.records if record.name == "prefect.registry"]
    assert old.as_uri() in line
    assert new.as_uri() in line
    assert str(tmp_path / "was") not in "".join(every_text(own_database()))


def every_text(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_nothing_is_written_outside_a_store_with_special_characters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use(monkeypatch, tmp_path / HOSTILE)
    version = log_a_model("text")
    assert os.listdir(tmp_path) == [HOSTILE]
    assert own_database().is_file()
    assert read_the_model(version, tmp_path / "scratch") == "text"
    with registry(None) as client:
        run = client.create_run("0")  # in MLflow's default experiment
        assert run.info.artifact_uri.startswith(own_artifacts())


def test_opening_a_store_through_a_symlink_changes_nothing(tmp_path, monkeypatch, caplog):
    use(monkeypatch, tmp_path / "store")
    version = log_a_model("text")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    before = every_text(own_database())
    use(monkeypatch, tmp_path / "link")
    with registry(None) as client:
        assert client.get_model_version("imdb-classifier", version)
    assert every_text(own_database()) == before
    assert not [record for record in caplog.records if record.name == "prefect.registry"]


def test_artifact_locations_outside_the_store_are_unchanged(tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "store")
    with registry(None) as client:
        for name, location in (("s3", "s3://bucket/mlflow/artifacts"), ("own", (tmp_path / "own").as_uri())):
            client.create_experiment(name, artifact_location=location)
    (tmp_path / "store").rename(tmp_path / "store-2")
    use(monkeypatch, tmp_path / "store-2")
    with registry(None) as client:
        assert client.get_experiment_by_name("s3").artifact_location == "s3://bucket/mlflow/artifacts"
        assert client.get_experiment_by_name("own").artifact_location == (tmp_path / "own").as_uri()
        assert client.get_experiment("0").artifact_location == f"{own_artifacts()}/0"


def test_drafts_left_by_a_killed_process_are_removed(store):
    with registry(None):
        pass
    for name in (".mlflow.db.draft", ".mlflow.db.draft-journal"):
        (own_database().parent / name).write_bytes(b"half")
    with registry(None) as client:
        client.search_experiments()
    assert [path.name for path in own_database().parent.glob(".*")] == []


def test_a_damaged_database_is_reported_with_a_remedy(store):
    own_database().parent.mkdir(parents=True)
    own_database().write_bytes(b"no database at all" * 100)
    with pytest.raises(RegistryError, match=r"its database cannot be used \(file is not a database\); bring back"):
        with registry(None):
            pass
