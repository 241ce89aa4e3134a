import contextlib
import json
import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

import tasks.promote
import tasks.run_folder
import tasks.track
from flows.imdb_flow import imdb_flow
from tasks.core.command_settings import PredictSettings
from tasks.core.user_paths import sqlite_address
from tasks.predict import predict_text
from tasks.registry.client import address_of, describe_run, registry
from tasks.registry.versions import CONTENT
from tasks.track import mark_killed
from tests.support.champions import MODEL, logged_runs
from tests.support.small_runs import STEPS, tracked


@pytest.mark.slow
def test_records_deleted_from_mlflow_are_restored_by_the_next_run(run, imdb, tracked_run):
    first = tracked_run
    client = MlflowClient(address_of(None), address_of(None))

    def repeat_run() -> dict:
        """Repeat the run, of which only track and promote may not be cached."""
        metrics = run(tracked(imdb))
        assert {step["name"] for step in metrics["steps"] if not step["cached"]} <= {"track", "promote"}
        assert metrics["promotion"]["decision"] == "champion"
        champion = client.get_model_version_by_alias(MODEL, "champion")
        assert (champion.version, champion.run_id) == (metrics["tracking"]["version"], metrics["tracking"]["run_id"])
        return metrics

    client.delete_registered_model_alias(MODEL, "champion")
    assert repeat_run()["tracking"] == first["tracking"]

    # Other settings for the same network give another run, but the same version.
    other = run(tracked(imdb, promotion={"alpha": 0.01, "min_accuracy": 0.4}, baseline={"min_documents": 3}))
    assert other["tracking"]["run_id"] != first["tracking"]["run_id"]
    assert other["tracking"]["version"] == 1
    assert other["promotion"]["decision"] == "champion"

    client.delete_model_version(MODEL, "1")
    assert repeat_run()["tracking"]["version"] == 2

    client.delete_run(first["tracking"]["run_id"])
    later = run(tracked(imdb))["tracking"]
    assert later["run_id"] != first["tracking"]["run_id"]
    assert later["version"] == 2

    client.delete_experiment(first["tracking"]["experiment_id"])
    assert run(tracked(imdb))["tracking"]["experiment_id"] == first["tracking"]["experiment_id"]


def test_a_run_killed_during_logging_is_closed_by_the_next_run(run, imdb, trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tasks.track, "log_files", lambda *_: 1 / 0)
        patch.setattr(tasks.track, "mark_failed", lambda *_: None)  # a killed process cannot do this
        with pytest.raises(ZeroDivisionError):
            run(tracked(imdb))
    run(tracked(imdb))
    runs = logged_runs(address_of(None))
    assert sorted(its.info.status for its in runs) == ["FINISHED", "KILLED"]
    client = MlflowClient(address_of(None), address_of(None))
    models = client.search_logged_models([runs[0].info.experiment_id])
    assert sorted(model.status for model in models) == ["FAILED", "READY"]
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 1


@pytest.mark.slow
def test_a_report_missing_after_a_kill_is_logged_by_the_next_run(run, imdb, trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tasks.run_folder, "send_report", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tracked(imdb))
    client = MlflowClient(address_of(None), address_of(None))
    (left,) = logged_runs(address_of(None))
    assert "report.html" not in {file.path for file in client.list_artifacts(left.info.run_id)}
    metrics = run(tracked(imdb))
    assert metrics["tracking"]["run_id"] == left.info.run_id
    assert metrics["promotion"]["reason"] == "Version 1 is the first champion: there was none."
    page = Path(client.download_artifacts(left.info.run_id, "report.html")).read_text()
    assert page == (metrics["folder"] / "report.html").read_text()
    # If the page is there already, it is not replaced.
    run(tracked(imdb))
    assert Path(client.download_artifacts(left.info.run_id, "report.html")).read_text() == page


def test_a_run_left_open_is_closed_after_its_store_was_renamed(tmp_path, monkeypatch):
    first, moved = tmp_path / "o'brien", tmp_path / "o'brien's"
    (first / "mlflow").mkdir(parents=True)
    with registry(sqlite_address(tmp_path / "server.db")) as client:
        monkeypatch.setenv("ARTIFACTS_STORE", str(first))
        experiment = client.create_experiment("films")
        left = client.create_run(experiment, tags=describe_run("some content")).info.run_id
        theirs = client.create_run(experiment, tags={"store_id": "another"}).info.run_id
        first.rename(moved)
        monkeypatch.setenv("ARTIFACTS_STORE", str(moved))
        mark_killed(client)
        assert [client.get_run(name).info.status for name in (left, theirs)] == ["KILLED", "RUNNING"]


@pytest.mark.slow
def test_a_moved_store_stays_cached_and_its_champion_loads(imdb, tmp_path, monkeypatch, first_run):
    """Track a run in a folder with special characters in its name, and repeat it after a move."""
    was, now = tmp_path / "a b#c%20d?e", tmp_path / "100% moved?"
    shutil.copytree(first_run, was, symlinks=True)

    def run_in(store) -> dict:
        monkeypatch.setenv("ARTIFACTS_STORE", str(store))
        folder = imdb_flow(tracked(imdb))
        return json.loads((folder / "metrics.json").read_text())

    first = run_in(was)
    was.rename(now)
    again = run_in(now)
    assert [step["name"] for step in again["steps"] if not step["cached"] and step["name"] in STEPS] == []
    assert again["tracking"] == first["tracking"]
    assert predict_text(PredictSettings(text="good film"), None)["model"] == f"{MODEL} version 1"
    assert [path.name for path in tmp_path.iterdir()] == [now.name]


def test_content_registered_meanwhile_by_another_store_is_not_duplicated(store, monkeypatch):
    tags = {CONTENT: "0" * 64}

    @contextlib.contextmanager
    def after_another(client, uri, model):
        """Wait for the lock, while another store registers the same content."""
        assert uri == "http://127.0.0.1:1"
        client.create_model_version(model, str(store / "its-files"), tags=tags, await_creation_for=0)
        yield

    monkeypatch.setattr(tasks.track, "registry_lock", after_another)
    with registry(None) as client:
        assert tasks.track.register(client, "http://127.0.0.1:1", None, MODEL, tags) == 1
        assert len(client.search_model_versions(f"name = '{MODEL}'")) == 1
