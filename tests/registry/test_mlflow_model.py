"""The registered model, used by MLflow's own commands without this project."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations

from tasks.registry.client import address_of
from tests.support.champions import store_with_champion
from tests.support.keras_scorer import open_keras
from tests.support.small_runs import make_classifier
from tests.support.web import free_port, wait_for

TEXTS = ["Good, good film", "", "the bad film — it's bad"]
LABELS = ["bad", "so so", "good"]
# Runs in a process in which this project's only modules are those next to the model.
ALONE = """
import json, sys
sys.modules["psutil"] = sys.modules["rich"] = None  # are not among the requirements
import mlflow
found = mlflow.pyfunc.load_model(sys.argv[1]).predict(json.loads(sys.argv[2]))
import tasks
assert tasks.__file__.startswith(sys.argv[1]), tasks.__file__
assert not {"tensorflow", "keras", "prefect", "pydantic_settings", "filelock"} & set(sys.modules)
print(found.to_json(orient="records"))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store whose registry has a champion of two labels."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        yield root


def outside(store: Path) -> dict[str, str]:
    """Return the environment of a program outside this project."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ARTIFACTS_STORE")}
    return clean | {"MLFLOW_TRACKING_URI": address_of(None), "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_the_champion_accepts_texts_as_a_list_or_a_column(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(None))
    # MLflow puts the model's modules first in sys.path, where processes that are started later would find them.
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = mlflow.pyfunc.load_model("models:/imdb-classifier@champion")
    expected = open_keras("keras", store / "packaged").predict(pa.array(TEXTS))
    for given in (TEXTS, pd.DataFrame({"text": TEXTS})):
        found = model.predict(given)
        assert list(found.columns) == ["predicted_label", "probability"]
        assert np.allclose(found["probability"], expected, atol=1e-5)
        assert set(found["predicted_label"]) <= {"negative", "positive"}
    with pytest.raises(MlflowException, match="the first column is 'id'; expected the texts there, in a column 'text'"):
        model.predict(pd.DataFrame({"id": ["1"], "text": ["good"]}))
    network = mlflow.keras.load_model("models:/imdb-classifier@champion")
    assert network.predict(np.ones((1, 32), np.int32), verbose=0).shape == (1, 1)


@pytest.fixture(scope="module")
def champion(store):
    """The champion as MLflow loads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address_of(None))
        patch.setattr(sys, "path", list(sys.path))
        yield mlflow.pyfunc.load_model("models:/imdb-classifier@champion")


MISSING = [None, float("nan"), pd.NA, pd.NaT, 3]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_a_missing_text_is_refused_with_its_row(champion, missing):
    rows = ["good", missing]
    for given in (rows, pd.DataFrame({"text": rows}), pd.Series(rows, dtype=object).to_frame("text"), [missing]):
        row = len(given)
        with pytest.raises(MlflowException, match=f"row {row}: the text is .*; expected a string"):
            champion.predict(given)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": ["good", None]},
        {"instances": ["good", None]},
        {"dataframe_records": [{"text": "good"}, {"id": 1}]},
        {"dataframe_split": {"columns": ["text"], "data": [["good"], [None]]}},
        {"dataframe_split": {"columns": ["text"], "data": [["good"], [float("nan")]]}},
    ],
    ids=json.dumps,
)
def test_mlflows_server_refuses_a_missing_text_with_its_row(champion, body):
    with pytest.raises(MlflowException, match=r"row 2: the text is .*; expected a string") as raised:
        invocations(json.dumps(body), "application/json", champion, champion.metadata.get_input_schema())
    assert raised.value.get_http_status_code() == 400


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::pandas.errors.Pandas4Warning")
def test_mlflow_evaluate_reports_the_accuracy_of_the_champion(champion):
    data = pd.DataFrame({"text": ["good", "bad", "film"], "label": ["positive", "negative", "positive"]})
    found = mlflow.models.evaluate(
        lambda texts: champion.predict(texts)["predicted_label"], data, targets="label", model_type="classifier"
    )
    right = champion.predict(data[["text"]])["predicted_label"] == data["label"]
    assert found.metrics["accuracy_score"] == pytest.approx(right.mean())


def test_the_registered_model_runs_without_this_project_or_tensorflow(store, tmp_path):
    from tasks.registry.mlflow_model import write_registered

    (tmp_path / "packaged").mkdir()
    classifier = make_classifier(tmp_path / "packaged", LABELS)
    write_registered(tmp_path / "packaged", tmp_path / "model")
    named = [line.partition("==")[0] for line in (tmp_path / "model" / "requirements.txt").read_text().splitlines()]
    assert named == ["mlflow", "numpy", "onnxruntime", "pandas", "pyarrow", "pydantic", "typing_extensions"]
    command = [sys.executable, "-c", ALONE, str(tmp_path / "model"), json.dumps(TEXTS)]
    done = subprocess.run(
        command, cwd=tmp_path, env=outside(store), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found, expected = json.loads(done.stdout), classifier.predict(pa.array(TEXTS))
    assert [list(row) for row in found] == [
        ["predicted_label", "probability", "probability_bad", "probability_so so", "probability_good"]
    ] * len(TEXTS)
    assert np.allclose([[row[f"probability_{name}"] for name in LABELS] for row in found], expected, atol=1e-5)


@pytest.mark.slow
def test_mlflows_server_returns_the_scores_of_the_keras_model(store, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/imdb-classifier@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # MLflow looks for uvicorn on PATH, which does not contain a virtual environment that is not activated.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uvicorn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uvicorn "$@"\n')
    (tmp_path / "bin" / "uvicorn").chmod(0o755)
    clean = outside(store)
    clean["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{clean['PATH']}"
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=clean, stdout=log, stderr=log, start_new_session=True)
    try:
        try:
            wait_for(f"http://127.0.0.1:{port}/ping")
        except TimeoutError:
            pytest.fail((tmp_path / "log").read_text())
        answers = []
        for body in ({"inputs": TEXTS}, {"dataframe_records": [{"text": text} for text in TEXTS]}):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                answers.append(json.load(answer)["predictions"])
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    expected = open_keras("keras", store / "packaged").predict(pa.array(TEXTS))
    for found in answers:
        assert np.allclose([row["probability"] for row in found], expected, atol=1e-5)
