import html
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL

import tasks.download
import tasks.texts.sources.datasets
import tasks.texts.sources.imdb
from flows import command
from flows.imdb_flow import download_dataset, run_steps
from tasks.core.errors import SourceUnreachable
from tasks.core.files import hash_file, list_files
from tasks.core.run_settings import RunSettings
from tasks.store.pruning import OWN_FILES
from tasks.store.step import planning
from tests.support.metrics_page import DESCRIBED
from tests.support.small_runs import CASE_STUDY, STEPS, as_flags, small

PROJECT = Path(__file__).parents[2]
TRAINED = ["train", "score", "evaluate", "figures", "package"]


def executed_steps(metrics: dict) -> list[str]:
    """Return the steps that were executed, not taken from the cache."""
    assert [step["name"] for step in metrics["steps"]] == STEPS
    return [step["name"] for step in metrics["steps"] if not step["cached"]]


def planned_steps(settings: RunSettings) -> list[str]:
    """Return the steps that would be executed, not taken from the cache."""
    with planning() as plans:
        run_steps(settings, download_dataset(settings.data))
    return [plan.step for plan in plans if plan.status != "cached"]


def named(run: str) -> FlowRunFilter:
    return FlowRunFilter(name=FlowRunFilterName(any_=[run]))


@pytest.mark.slow
def test_steps_rerun_only_if_their_settings_or_inputs_change(run, imdb, trained):
    first = json.loads((trained / "runs" / "latest" / "metrics.json").read_text())
    assert executed_steps(first) == STEPS
    second = run(small(imdb))
    assert executed_steps(second) == []
    assert second["test"] == first["test"]
    assert second["history"] == first["history"]
    assert planned_steps(small(imdb, data={"maxlen": 40})) == [
        step for step in STEPS if step not in ("download", "encode", "baseline")
    ]
    assert planned_steps(small(imdb, model={"cell": "gru"})) == ["build", *TRAINED]
    assert planned_steps(small(imdb, baseline={"inverse_penalty": 1})) == ["baseline", *TRAINED[2:]]
    assert not {"baseline", "train"} & set(planned_steps(small(imdb, evaluation={"batch_size": 7})))
    assert executed_steps(run(small(imdb, evaluation={"threshold": 0.4}))) == TRAINED[2:]
    # Checkpoints of the last three finished trainings are kept, so that they can be resumed with more epochs.
    (finished,) = (trained / "checkpoints" / "train").iterdir()
    for number in range(3):
        shutil.copytree(finished, finished.with_name(f"copy-{number}"))
    assert executed_steps(run(small(imdb, model=CASE_STUDY))) == ["build", *TRAINED]
    kept = list(finished.parent.iterdir())
    assert len(kept) == 3
    assert all((folder / "finished").exists() for folder in kept)


def run_why(monkeypatch, capsys, settings: RunSettings) -> list[dict]:
    """Return the plan that `imdb-pipeline why` prints for a run."""
    monkeypatch.setattr(sys, "argv", ["imdb-pipeline", "why", "--json", *as_flags(settings)])
    assert command.main() == 0
    return json.loads(capsys.readouterr().out)


def test_why_reports_status_and_cause_of_each_step_and_writes_nothing(imdb, trained, monkeypatch, capsys):
    before = list_files(trained)
    assert {plan["status"] for plan in run_why(monkeypatch, capsys, small(imdb))} == {"cached"}
    longer = small(imdb, training={"epochs": 9})
    told = {plan["step"]: (plan["status"], plan["cause"]) for plan in run_why(monkeypatch, capsys, longer)}
    epochs = small(imdb).training.epochs
    assert told["train"] == ("runs", f"training.epochs {epochs} → 9")
    assert told["score"] == ("unknown", "train has not run")
    assert {name for name, (status, _) in told.items() if status != "cached"} == set(TRAINED)
    (cause,) = next(plan["causes"] for plan in run_why(monkeypatch, capsys, longer) if plan["causes"])
    assert cause == {"kind": "setting", "name": "training.epochs", "before": epochs, "after": 9}
    assert {plan["status"] for plan in run_why(monkeypatch, capsys, small(imdb, data={"sha256": "0" * 64}))} == {
        "runs",
        "unknown",
    }
    assert list_files(trained) == before


def test_the_run_folder_and_prefect_record_settings_and_results(first_run, imdb, prefect_server):
    folder = (first_run / "runs" / "latest").resolve()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) <= DESCRIBED, "each key has a description"
    assert list((first_run / "runs").glob("2*")) == [folder]
    files = [path.relative_to(folder).as_posix() for path in list_files(folder)]
    assert all(map(OWN_FILES["runs"].fullmatch, files)), "pruning treats a run folder with other files as foreign"
    assert RunSettings.model_validate_json((folder / "config.json").read_text()) == small(imdb)
    dataset = metrics["dataset"]
    assert (dataset["name"], dataset["train"], dataset["validation"], dataset["test"]) == (
        "imdb",
        192,
        48,
        80,
    )
    assert dataset["sha256"] == hash_file(imdb / "imdb.npz")
    assert set(metrics["test"]) >= {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "log_loss",
        "brier",
        "ece",
        "ci95",
    }
    assert [
        set(epoch) >= {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
        for epoch in metrics["history"]
    ] == [True] * 2
    assert metrics["versions"]["tensorflow"]
    page = (folder / "report.html").read_text()
    assert f"{metrics['test']['accuracy']:.4f}" in page
    assert f"{metrics['machine']['cores']} cores of {html.escape(metrics['machine']['processor'])}" in page
    assert page.count("<svg") == len(list((folder / "figures").iterdir())) == 4
    assert metrics["baseline"]["comparison"]["difference"] == pytest.approx(
        metrics["test"]["accuracy"] - metrics["baseline"]["accuracy"]
    )
    assert (metrics["promotion"], metrics["tracking"]) == (None, None)
    # Flows and keys are named after the project, because a Prefect server may also serve other projects.
    with get_client(sync_client=True) as client:
        (flow_run,) = client.read_flow_runs(flow_run_filter=named(folder.name.partition("-")[2]))
        assert client.read_flow(flow_run.flow_id).name == "imdb-pipeline"
        its_own = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
        assert {its.key for its in client.read_artifacts(artifact_filter=its_own) if its.key} == {
            "imdb-pipeline-metrics",
            "imdb-pipeline-report",
            "imdb-pipeline-training",
        }


@pytest.mark.slow
def test_a_damaged_padded_file_is_rebuilt_and_later_steps_stay_cached(run, imdb, trained):
    first = run(small(imdb))
    path = trained / first["artifacts"]["pad"]["key"] / "train.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    second = run(small(imdb))
    assert executed_steps(second) == ["pad"]
    assert second["artifacts"] == first["artifacts"]


@pytest.fixture
def no_host(monkeypatch):
    """The address of a Keras host that does not listen; the sample is generated, not downloaded."""

    def write_sample(folder: Path) -> dict:
        rows = [
            (
                "train" if number % 5 else "test",
                number % 2,
                f"{'good' if number % 2 else 'bad'} film {number}",
            )
            for number in range(200)
        ]
        columns = [pa.array(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, names=["split", "label", "text"]), folder / "texts.parquet")
        return {"name": "rotten-tomatoes", "source": "generated", "sha256": "0" * 64, "labels": ["bad", "good"]}

    monkeypatch.setattr(tasks.texts.sources.datasets, "fetch_rotten_tomatoes", write_sample)
    monkeypatch.setattr(tasks.download.download.task, "retry_delay_seconds", [0.01] * 3)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        monkeypatch.setattr(tasks.texts.sources.imdb, "HOST", host)
        yield host


@pytest.mark.slow
def test_a_run_uses_the_sample_and_warns_if_the_host_is_unreachable(run, no_host, caplog):
    settings = small(None, training={"epochs": 1})
    metrics = run(settings)
    assert metrics["dataset"]["name"] == "rotten-tomatoes"
    assert "THIS IS NOT IMDB" in caplog.text
    name = metrics["folder"].name.split("-", 1)[1]
    with get_client(sync_client=True) as client:
        (flow_run,) = client.read_flow_runs(flow_run_filter=named(name))
    assert "dataset:rotten-tomatoes" in flow_run.tags
    caplog.clear()
    assert executed_steps(run(settings)) == []
    assert "Retry 1/3" not in caplog.text


@pytest.mark.slow
def test_the_sample_is_not_used_with_on_unreachable_fail_or_a_named_source(run, no_host):
    ways = r"(?s)Three ways to continue:.*--data.source.*--data.dataset.*HTTPS_PROXY"
    with pytest.raises(SourceUnreachable, match=ways):
        run(small(None, data={"on_unreachable": "fail"}))
    # The sample does not replace a source that the user named either.
    with pytest.raises(SourceUnreachable, match="Three ways to continue"):
        run(small(None, data={"source": f"{no_host}imdb.npz"}))


def run_copy(copy: Path, store: Path, imdb: Path) -> dict:
    """Run small(imdb) with a copy of the project in a new process, and return metrics.json."""
    command = [sys.executable, "-X", "importtime", str(copy / "flows" / "imdb_flow.py"), *as_flags(small(imdb))]
    done = subprocess.run(
        command,
        env=os.environ
        | {"PYTHONPATH": str(copy), "ARTIFACTS_STORE": str(store), "PREFECT_HOME": str(store / "prefect")}
        | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""},
        capture_output=True,
        text=True,
        timeout=180,
        cwd=store.parent,
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    return metrics | {"imported": imported, "printed": done.stdout}


@pytest.mark.slow
def test_a_changed_module_reruns_only_the_steps_that_use_it(tmp_path, imdb, trained):
    """Also, a cached run does not import TensorFlow."""
    copy = tmp_path / "copy"
    for package in ("flows", "tasks"):
        shutil.copytree(PROJECT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(old: str, new: str) -> None:
        helper = copy / "tasks" / "network" / "checkpoint.py"
        assert old in helper.read_text()
        helper.write_text(helper.read_text().replace(old, new))

    edit('"""Checkpoints: ', '"""Checkpoints, in other words: ')
    first = run_copy(copy, trained, imdb)
    assert executed_steps(first) == []
    assert "prefect" in first["imported"]
    assert not first["imported"] & {"tensorflow", "keras", "sklearn", "scipy", "matplotlib"}
    assert "Report: " in first["printed"]
    assert "The network" in first["printed"]

    edit('f"epoch-{epoch:05d}.keras"', 'f"after-{epoch:05d}.keras"')
    second = run_copy(copy, trained, imdb)
    assert executed_steps(second) == ["train"]
    assert "tensorflow" in second["imported"]
    assert second["artifacts"]["train"]["sha256"] == first["artifacts"]["train"]["sha256"]


@pytest.mark.slow
def test_the_command_line_names_a_failed_step_without_a_traceback(tmp_path, imdb, prefect_server):
    store = tmp_path / "store"
    flags = ["--store", str(store), "--data.source", str(imdb / "imdb.npz"), "--data.sha256", "0" * 64]
    done = subprocess.run(
        [sys.executable, str(PROJECT / "flows" / "imdb_flow.py"), *flags],
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    message = (
        f"imdb_flow.py: download failed: {imdb / 'imdb.npz'}: sha256 is {hash_file(imdb / 'imdb.npz')}, expected 000"
    )
    (last,) = [line for line in done.stderr.splitlines() if line.startswith("imdb_flow.py: ")]
    assert last.startswith(message)
    assert "--data.sha256 HEX" in last
    assert list((store / "download").iterdir()) == []
    assert not (store / "runs").exists()
