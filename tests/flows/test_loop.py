"""The loop: reviews drift, an event retrains the model that scored them, and the better version is promoted."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tasks.core.run_settings import RunSettings
from tests.support.small_runs import TRACED_SOONEST, as_flags
from tests.support.web import ask, wait_until

PROJECT = Path(__file__).parents[2]
MODEL = "reviews-classifier"
SMALL = {
    "data": {"maxlen": 32, "max_unknown": 0.9},
    "model": TRACED_SOONEST | {"units": 8, "embedding_dim": 8, "dense_units": 8, "readout": "max"},
    "training": {"epochs": 6, "batch_size": 32, "learning_rate": 0.01},
    "promotion": {"candidates": "network"},
}
OLD, NEW = (("bad", "good"), "plot scene actor role film"), (("awful", "superb"), "episode season streaming binge cast")

SERVE = """
import json, sys
from tasks.core import environment; environment.prepare([])
from prefect import serve
from prefect.events import DeploymentEventTrigger
from flows.imdb_flow import imdb_flow
served = []
for name, settings, triggers in json.loads(sys.argv[1]):
    triggers = [DeploymentEventTrigger.model_validate(its) for its in triggers]
    served.append(imdb_flow.to_deployment(name, parameters={"settings": settings}, triggers=triggers))
serve(*served)
"""


def write_rows(path: Path, count: int, rng: np.random.Generator, words: tuple, *, labelled: bool = True) -> None:
    """Append reviews to a CSV file, each with a word that decides its label, three times."""
    verdicts, others = words[0], words[1].split()
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if is_new:
            rows.writerow(["text", "label"] if labelled else ["text"])
        for row in range(count):
            text = [*rng.choice(others, 12), f"n{rng.integers(10**9)}", *[verdicts[row % 2]] * 3]
            rng.shuffle(text)
            rows.writerow([" ".join(text), row % 2] if labelled else [" ".join(text)])


@pytest.fixture
def python(served):
    """A function that runs Python with the server's environment, in the project's folder."""

    def run_python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=served, cwd=PROJECT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run_python


@pytest.fixture
def deployments(served, tmp_path):
    """A function that serves deployments (name, settings, triggers) until the test ends."""
    started = []

    def serve(*its: tuple) -> None:
        with (tmp_path / "served.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", SERVE, json.dumps(its)],
                    env=served | {"PREFECT_RUNNER_POLL_FREQUENCY": "1"},
                    cwd=PROJECT,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    yield serve
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_drift_retrains_the_model_and_only_a_better_version_is_promoted(served, python, deployments, tmp_path, rng):
    """With a real server, the triggers of deployment.yaml, and a real process that executes the runs."""
    store, own, api = Path(served["ARTIFACTS_STORE"]), tmp_path / "data" / "reviews.csv", served["PREFECT_API_URL"]
    own.parent.mkdir()
    settings = SMALL | {"data": SMALL["data"] | {"dataset": str(own)}}

    def latest() -> dict:
        return json.loads((store / "runs" / "latest" / "metrics.json").read_text())

    write_rows(own, 2000, rng, OLD)
    python("flows/imdb_flow.py", *as_flags(RunSettings.model_validate(settings)))
    assert (latest()["promotion"]["decision"], latest()["promotion"]["model"]) == ("champion", MODEL)

    as_deployed = yaml.safe_load((PROJECT / "deployment.yaml").read_text())["deployments"]
    triggers = {its["name"]: its.get("triggers", []) for its in as_deployed}
    deployments(
        ("own-reviews", settings, triggers["own-reviews"]),
        ("nightly", {"data": {"source": "/nowhere/imdb.npz", "on_unreachable": "fail"}}, triggers["nightly"]),
    )
    wait_until(lambda: len(ask(api, "automations/filter")) == 2, 120, (tmp_path / "served.log").read_text)

    # Add 10 % labelled reviews of a new kind, and as many unlabelled ones to score.
    write_rows(own, 200, rng, NEW)
    write_rows(tmp_path / "inbox.csv", 200, rng, NEW, labelled=False)
    scored = python(
        "flows/predict_flow.py", "--input", str(tmp_path / "inbox.csv"), "--output", str(tmp_path / "scored.parquet")
    )
    assert "is unlike what reviews-classifier version 1 was trained on" in scored

    def is_retrained() -> bool:
        return latest()["promotion"]["version"] == 2

    wait_until(is_retrained, 300, (tmp_path / "served.log").read_text)
    won = latest()["promotion"]
    assert won["decision"] == "champion", won["reason"]
    assert (won["against"], won["attempt"]) == (1, 1)
    assert won["left_out"] == 0  # a row keeps its split
    assert won["reviews"] == latest()["dataset"]["test"] > 400
    assert won["only_first"] > won["only_second"]
    names = {its["id"]: its["name"] for its in ask(api, "deployments/filter")}
    assert [names[its["deployment_id"]] for its in ask(api, "flow_runs/filter") if its["deployment_id"]] == [
        "own-reviews"
    ]

    # Train on the same reviews with worse settings.
    worse = {"training": SMALL["training"] | {"epochs": 1, "learning_rate": 0.0001}}
    worse["promotion"] = SMALL["promotion"] | {"min_accuracy": 0.1}
    python("flows/imdb_flow.py", *as_flags(RunSettings.model_validate(settings | worse)))
    lost = latest()["promotion"]
    assert (lost["decision"], lost["against"], lost["attempt"]) == ("challenger", 2, 1), lost["reason"]
    assert lost["difference"] < 0
    assert "reviews-classifier version 2" in python(
        "flows/predict_flow.py", "--input", str(tmp_path / "inbox.csv"), "--output", str(tmp_path / "again.parquet")
    )
