"""Deployments on real servers: a worker is killed during a run, and another one finishes it."""

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from mlflow.tracking import MlflowClient

from tasks.core.user_paths import sqlite_address
from tests.support.servers import mlflow_server, postgres, prefect_server_for, programs_of_postgres
from tests.support.small_runs import small
from tests.support.web import ask, wait_until

PROJECT = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
POOL = "imdb-pipeline"
SILENT = 45
EPOCHS = 80

RECOVERY = f"""
import re
import sys
from pathlib import Path
from flows import automations
sooner = re.sub(r"within: (90|600)", "within: {SILENT}", automations.AUTOMATIONS.read_text())
automations.AUTOMATIONS = Path(sys.argv[1])
automations.AUTOMATIONS.write_text(sooner)
automations.replace_automations("recovery")
"""
SAVE_SECRET = """
import sys
from prefect.blocks.system import Secret
Secret(value=sys.argv[2]).save(sys.argv[1])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request, alone, tmp_path):
    """A worker's environment: Prefect's server and MLflow's database on SQLite, or both servers on PostgreSQL."""
    if request.param == "sqlite":
        with prefect_server_for(alone) as environment:
            yield environment
        return
    if programs_of_postgres() is None:
        pytest.skip("PostgreSQL's programs are not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="pip install '.[postgres]'")
    with postgres("prefect", "mlflow") as address:
        with prefect_server_for(alone, f"postgresql+asyncpg://{address}/prefect") as environment:
            with mlflow_server(f"postgresql://{address}/mlflow", tmp_path / "models") as registry:
                yield environment | {"MLFLOW_TRACKING_URI": registry}


@pytest.fixture
def prefect(served):
    """A function that runs Prefect's command line, or Python, against the server."""

    def run(*arguments: str, command: list[str] = PREFECT) -> str:
        done = subprocess.run(
            [*command, *arguments], env=served, cwd=PROJECT, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def worker(served, tmp_path):
    """A function that starts a worker in its own session and returns the process."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        with (tmp_path / "worker.log").open("ab") as log:
            command = [*PREFECT, "worker", "start", "--pool", POOL]
            environment = served | {"PREFECT_WORKER_QUERY_SECONDS": "2"}
            started.append(
                subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=log, stderr=log, start_new_session=True)
            )
        return started[-1]

    yield start
    for process in started:
        kill_all(process)


def kill_all(process: subprocess.Popen) -> None:
    """Kill a worker and all its child processes, as if its machine were switched off."""
    if process.poll() is None:
        its = psutil.Process(process.pid)
        for each in [its, *its.children(recursive=True)]:
            if each.is_running():
                os.kill(each.pid, signal.SIGKILL)
        process.wait(30)


def kill_runs(worker: psutil.Process) -> None:
    """Kill the processes of a worker's runs, as the kernel does if memory is short; the worker goes on."""
    for its in worker.children(recursive=True):
        if "prefect.engine" in its.cmdline():
            its.kill()


def runs_of(api: str, name: str) -> list[dict]:
    """Return the runs of a deployment, the earliest first."""
    its_own = {"name": {"any_": [name]}}
    return ask(api, "flow_runs/filter", deployments=its_own, sort="EXPECTED_START_TIME_ASC")


def last_epoch(store: Path) -> int:
    """Return the last epoch with a complete checkpoint."""
    kept = [its.stem[-5:] for its in store.glob("checkpoints/train/*/epoch-*.json")]
    return max(map(int, kept), default=0)


def read_all(api: str) -> str:
    """Return everything that the server returns to any client: runs, deployments, pools and logs."""
    told = [ask(api, f"{what}/filter") for what in ("deployments", "flow_runs", "work_pools")]
    logs = [ask(api, "logs/filter", limit=200, offset=200 * page) for page in range(10)]
    assert logs[0]
    assert not logs[-1]
    return json.dumps([told, logs])


def check_registry(address: str, metrics: dict) -> None:
    """Check that MLflow's records match metrics.json."""
    registry = MlflowClient(address, address)
    logged = registry.get_run(metrics["tracking"]["run_id"])
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["test_accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    (version,) = registry.search_model_versions("name = 'imdb-classifier'")
    assert version.run_id == logged.info.run_id
    champion = registry.get_model_version_by_alias("imdb-classifier", "champion")
    assert (champion.version, metrics["promotion"]["decision"]) == (version.version, "champion")


@pytest.mark.machines
@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_a_run_whose_process_is_killed_crashes_once_and_continues(served, prefect, worker, imdb, tmp_path):
    api, store, log = served["PREFECT_API_URL"], Path(served["ARTIFACTS_STORE"]), tmp_path / "worker.log"
    prefect("work-pool", "create", POOL, "--type", "process")
    prefect("deploy", "--name", "nightly", "--prefect-file", "deployment.yaml")
    prefect("-c", RECOVERY, str(tmp_path / "automations.yaml"), command=[sys.executable])
    settings = small(imdb, training={"epochs": EPOCHS}).model_dump(mode="json", exclude_defaults=True)
    prefect("deployment", "run", "imdb-pipeline/nightly", "--param", f"settings={json.dumps(settings)}")
    its_worker = psutil.Process(worker().pid)
    wait_until(lambda: last_epoch(store) >= 3, 300, log.read_text)
    kill_runs(its_worker)
    wait_until(lambda: runs_of(api, "nightly")[0]["state_type"] in ("COMPLETED", "FAILED"), 300, log.read_text)
    nightly = runs_of(api, "nightly")[0]  # before the scheduled ones
    assert (nightly["state_type"], nightly["run_count"]) == ("COMPLETED", 2), log.read_text()
    states = httpx.get(f"{api}/flow_run_states/", params={"flow_run_id": nightly["id"]}, trust_env=False).json()
    names = [its["name"] for its in sorted(states, key=lambda its: its["timestamp"])]
    assert names.count("Crashed") == 1, names


@pytest.mark.machines
def test_another_worker_resumes_a_killed_run_from_its_last_complete_epoch(served, prefect, worker, imdb, tmp_path):
    api, store, log = served["PREFECT_API_URL"], Path(served["ARTIFACTS_STORE"]), tmp_path / "worker.log"
    python, credentials = (
        [sys.executable],
        {"aws-access-key-id": "AKIATEST", "aws-secret-access-key": secrets.token_hex()},
    )
    for name, value in credentials.items():
        prefect("-c", SAVE_SECRET, name, value, command=python)
    prefect("work-pool", "create", POOL, "--type", "process", "--base-job-template", "deploy/pools/process.json")
    prefect("deploy", "--all", "--prefect-file", "deployment.yaml")
    assert len(ask(api, "deployments/filter")) == 5
    prefect("-c", RECOVERY, str(tmp_path / "automations.yaml"), command=python)

    # A worker claimed this run and disappeared before starting it.
    prefect("deployment", "run", "imdb-pipeline-housekeeping/weekly")
    taken = runs_of(api, "weekly")[0]
    ask(api, f"flow_runs/{taken['id']}/set_state", state={"type": "PENDING"})
    # Scheduled runs (here every minute) have to wait for that one.
    prefect("deployment", "schedule", "create", "imdb-pipeline-housekeeping/weekly", "--cron", "* * * * *")
    # A run that a user starts, with a long training.
    settings = small(imdb, training={"epochs": EPOCHS}, tracking={"enabled": True}, promotion={"min_accuracy": 0.4})
    settings = settings.model_dump(mode="json", exclude_defaults=True)
    prefect("deployment", "run", "imdb-pipeline/nightly", "--param", f"settings={json.dumps(settings)}")

    first = worker()
    wait_until(lambda: last_epoch(store) >= 3, 300, log.read_text)
    running = [its.environ() for its in psutil.Process(first.pid).children(recursive=True)]
    kill_all(first)
    assert any(its.get("AWS_SECRET_ACCESS_KEY") == credentials["aws-secret-access-key"] for its in running)
    nightly = runs_of(api, "nightly")[0]
    assert nightly["state_type"] == "RUNNING"  # no worker is left to change it
    reached = last_epoch(store)
    worker()

    wait_until(lambda: runs_of(api, "nightly")[0]["state_type"] in ("COMPLETED", "FAILED"), 600, log.read_text)
    nightly = runs_of(api, "nightly")[0]
    assert (nightly["state_type"], nightly["run_count"]) == ("COMPLETED", 2), log.read_text()
    assert any(f"Going on after epoch {epoch}" in log.read_text() for epoch in (reached, reached + 1))
    metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
    assert len(metrics["history"]) == EPOCHS
    check_registry(served.get("MLFLOW_TRACKING_URI") or sqlite_address(store / "mlflow" / "mlflow.db"), metrics)

    def is_housekeeping_done() -> bool:
        """Return whether the claimed run and a scheduled one are complete."""
        done = [its for its in runs_of(api, "weekly") if its["state_type"] == "COMPLETED"]
        return {its["auto_scheduled"] for its in done} == {True, False} and taken["id"] in {its["id"] for its in done}

    wait_until(is_housekeeping_done, 300, log.read_text)
    assert credentials["aws-secret-access-key"] not in log.read_text()
    assert credentials["aws-secret-access-key"] not in read_all(api)
    if "MLFLOW_TRACKING_URI" in served:  # everything is in PostgreSQL
        assert not list(Path(served["PREFECT_HOME"]).rglob("*.db"))
        assert not list(store.rglob("*.db"))
