"""Deployments at work: a real server, a real worker that is killed in the middle, and another that finishes its job."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.small_runs import small
from tests.web import ask, wait_until

PROJECT = Path(__file__).parents[1]
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
SILENT = 45

RECOVERY = f"""
from datetime import timedelta
from flows.recovery import automations, renew
renew(automations(timedelta(seconds={SILENT})))
"""


@pytest.fixture
def prefect(served):
    """Runs Prefect's command line, or Python, against the server."""

    def run(*arguments: str, command: list[str] = PREFECT) -> str:
        done = subprocess.run(
            [*command, *arguments], env=served, cwd=PROJECT, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def worker(served, tmp_path):
    """Starts workers, each in a session of its own; returns the process."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        with (tmp_path / "worker.log").open("ab") as log:
            command = [*PREFECT, "worker", "start", "--pool", "local", "--type", "process"]
            environment = served | {"PREFECT_WORKER_QUERY_SECONDS": "2"}
            started.append(
                subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=log, stderr=log, start_new_session=True)
            )
        return started[-1]

    yield start
    for process in started:
        kill_all(process, signal.SIGTERM)
        process.wait(60)


def kill_all(process: subprocess.Popen, how: signal.Signals) -> None:
    """Send a signal to a worker and to all that it has started, as where a machine is switched off."""
    if process.poll() is None:
        its = psutil.Process(process.pid)
        for each in [its, *its.children(recursive=True)]:
            if each.is_running():
                os.kill(each.pid, how)


@pytest.mark.machines
def test_a_run_whose_worker_is_killed_is_finished_by_another_from_its_last_whole_epoch(
    served, prefect, worker, imdb, tmp_path
):
    api, store, log = served["PREFECT_API_URL"], Path(served["ARTIFACTS_STORE"]), tmp_path / "worker.log"
    prefect("work-pool", "create", "local", "--type", "process")
    prefect("deploy", "--all", "--prefect-file", "deployment.yaml")
    assert len(ask(api, "deployments/filter")) == 5
    prefect("-c", RECOVERY, command=[sys.executable])
    first = worker()

    # What its schedule brings: housekeeping, each minute for once.
    prefect("deployment", "schedule", "create", "imdb-pipeline-housekeeping/weekly", "--cron", "* * * * *")
    # And a run that a person asks for, whose training takes a while.
    settings = small(imdb, training={"epochs": 150}).model_dump(mode="json", exclude_defaults=True)
    prefect("deployment", "run", "imdb-pipeline/nightly", "--param", f"settings={json.dumps(settings)}")

    def epochs() -> int:
        """The last epoch that is kept whole."""
        return max((len(list(its.glob("epoch-*.keras"))) and int(sorted(its.glob("epoch-*.keras"))[-1].stem[-5:])
                    for its in store.glob("checkpoints/train/*")), default=0)  # fmt: skip

    def run_of(name: str) -> dict:
        names = {its["id"]: its["name"] for its in ask(api, "deployments/filter")}
        runs = [its for its in ask(api, "flow_runs/filter") if names.get(its["deployment_id"]) == name]
        return min(runs, key=lambda its: its["expected_start_time"])

    wait_until(lambda: epochs() >= 3, 180, log.read_text)
    kill_all(first, signal.SIGKILL)
    first.wait(30)
    assert run_of("nightly")["state_type"] == "RUNNING"  # nobody is left to say otherwise
    reached = epochs()
    worker()
    wait_until(lambda: run_of("nightly")["state_type"] in ("COMPLETED", "FAILED"), 300, log.read_text)
    run = run_of("nightly")
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 2)
    assert (
        f"Going on after epoch {reached}" in log.read_text() or f"Going on after epoch {reached + 1}" in log.read_text()
    )
    metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
    assert len(metrics["history"]) == 150
    wait_until(lambda: run_of("weekly")["state_type"] == "COMPLETED", 120, log.read_text)
    assert run_of("weekly")["auto_scheduled"]
