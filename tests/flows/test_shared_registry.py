"""Concurrent runs on two stores, with one MLflow server that also stores the models' files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from tasks.core.run_settings import RunSettings
from tasks.core.user_paths import sqlite_address
from tasks.registry.registry_lock import claims
from tasks.registry.versions import CHAMPION, CONTENT, REPLACED_BY, decision_on
from tests.support.servers import mlflow_server
from tests.support.small_runs import as_flags, small

PROJECT = Path(__file__).parents[2]
MODEL = "imdb-classifier"
pytestmark = pytest.mark.machines


@pytest.fixture
def shared_registry(tmp_path, monkeypatch) -> Iterator[MlflowClient]:
    """A client of an MLflow server that the runs of a test share."""
    with mlflow_server(sqlite_address(tmp_path / "server.db"), tmp_path / "models") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield MlflowClient(address, address)


def settings(imdb: Path, seed: int, **sections) -> RunSettings:
    sections = {"tracking": {"enabled": True}, "promotion": {"min_accuracy": 0.4}} | sections
    return small(imdb, training={"seed": seed}, **sections)


def run_at_once(runs: dict[Path, RunSettings]) -> list[dict]:
    """Run the pipeline on several stores at once from the command line; return metrics.json of each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ARTIFACTS_"))}
    started = [
        subprocess.Popen(
            [sys.executable, "flows/imdb_flow.py", "--store", str(store), *as_flags(asked)],
            env=environment,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for store, asked in runs.items()
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait(20)
    for process, its in zip(started, said, strict=True):
        assert process.returncode == 0, its
    return [json.loads((store / "runs" / "latest" / "metrics.json").read_text()) for store in runs]


def in_registry(client: MlflowClient) -> tuple[list[Run], list[ModelVersion]]:
    """Return all runs, and all versions with the oldest first."""
    (experiment,) = [its for its in client.search_experiments() if its.name == "imdb-pipeline"]
    versions = client.search_model_versions(f"name = '{MODEL}'")
    return client.search_runs([experiment.experiment_id]), sorted(versions, key=lambda its: int(its.version))


def test_two_concurrent_runs_register_two_versions_and_one_champion(imdb, tmp_path, shared_registry):
    made = run_at_once({tmp_path / "a": settings(imdb, 1), tmp_path / "b": settings(imdb, 2)})
    runs, versions = in_registry(shared_registry)
    assert {its.info.run_id for its in runs} == {its["tracking"]["run_id"] for its in made}
    assert [its.info.status for its in runs] == ["FINISHED", "FINISHED"]
    assert [int(its.version) for its in versions] == [1, 2]
    assert sorted(its["tracking"]["version"] for its in made) == [1, 2]
    assert len({its.tags[CONTENT] for its in versions}) == 2
    # One run found no champion and became the first; the other was compared with it, and the alias shows the result.
    records = {int(its.version): decision_on(its) for its in versions}
    (first,) = [number for number, its in records.items() if its.against is None]
    second = 3 - first
    assert (records[first].decision, records[second].against) == ("champion", first)
    has_won = records[second].decision == "champion"
    aliases = shared_registry.get_registered_model(MODEL).aliases
    assert int(aliases[CHAMPION]) == (second if has_won else first)
    assert (REPLACED_BY in versions[first - 1].tags) == has_won
    assert [records[its["tracking"]["version"]].decision for its in made] == [
        its["promotion"]["decision"] for its in made
    ]
    assert claims(shared_registry, MODEL) == set()
    # Each version's files can be downloaded from the server.
    for version in versions:
        folder = shared_registry.download_artifacts(version.run_id, "evaluation", str(tmp_path))
        assert any(Path(folder).iterdir())


def test_two_concurrent_runs_with_equal_content_share_a_version(imdb, tmp_path, shared_registry):
    first, second = tmp_path / "a", tmp_path / "b"
    run_at_once({first: settings(imdb, 1, tracking={"enabled": False})})
    shutil.copytree(first, second, symlinks=True)
    made = run_at_once({first: settings(imdb, 1), second: settings(imdb, 1)})
    runs, versions = in_registry(shared_registry)
    # Both may log the run, but the model is registered and decided on once.
    assert {its.info.status for its in runs} == {"FINISHED"}
    assert len({its.data.tags["content"] for its in runs}) == 1
    assert [int(its.version) for its in versions] == [1]
    assert [its["tracking"]["version"] for its in made] == [1, 1]
    assert [its["promotion"]["decision"] for its in made] == ["champion", "champion"]
    assert decision_on(versions[0]).against is None
    aliases = shared_registry.get_registered_model(MODEL).aliases
    assert {alias: int(number) for alias, number in aliases.items()} == {CHAMPION: 1}
    assert claims(shared_registry, MODEL) == set()
