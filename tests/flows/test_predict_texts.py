"""The command `predict` in its own process, on a store with a champion."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.predict_texts import read_lines, split_texts
from tasks.core.command_settings import PredictSettings
from tasks.core.errors import UsageError
from tasks.registry.loading import fetch_bundle, find_version
from tasks.texts.tables.reading import read_batches
from tests.support.champions import store_with_champion
from tests.support.small_runs import parse_command_line

PROJECT = Path(__file__).parents[2]
HEAVY = ("prefect", "mlflow", "tensorflow", "keras", "sklearn", "matplotlib")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store whose registry has a champion, shared because creating its database takes seconds."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        yield root


def predict(store: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"ARTIFACTS_STORE": str(store), "PYTHONPROFILEIMPORTTIME": "1"}
    command = [sys.executable, "flows/predict_flow.py", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, input=given, capture_output=True, timeout=120)


def imported(done: subprocess.CompletedProcess[bytes]) -> set[str]:
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_scoring_texts_imports_neither_prefect_mlflow_nor_tensorflow(store, classifier):
    texts = ["Good, good film", "the bad one"]
    done = predict(store, "--text", texts[0], f"--text={texts[1]}", "--explain", "1")
    assert done.returncode == 0, done.stderr
    assert imported(done) & {"onnxruntime", *HEAVY} == {"onnxruntime"}
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 4
    scores = classifier.predict(pa.array(texts))
    assert [float(line.split()[1]) for line in lines[::2]] == pytest.approx(scores.tolist(), abs=1e-4)


def test_a_text_without_a_known_word_is_pointed_out(store):
    lines = predict(store, "--text", "good zzzz", "--text", "zzzz qqqq", "--text", "").stdout.decode().splitlines()
    assert [line.startswith("  no word of this text") for line in lines] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_lines_of_standard_input_are_scored_as_json_lines(store, classifier):
    done = predict(store, "--input", "-", "--explain", "1", given="\ufeffGood film\r\n\nà bad".encode())
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [its["text"] for its in found] == ["Good film", "", "à bad"]
    scores = classifier.predict(pa.array([its["text"] for its in found]))
    assert np.allclose([its["probability"] for its in found], scores, atol=1e-5)
    assert found[0]["words"][0]["word"] in ("good", "film")
    assert found[0]["probabilities"]["positive"] == found[0]["probability"]
    assert not imported(done) & set(HEAVY)


@given(
    # A file that begins with zero bytes is refused as UTF-16 or UTF-32.
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
        | st.sampled_from(["\r", "\x0b", "\u2028"]),
        max_size=9,
    ),
    st.booleans(),
)
def test_a_text_file_and_standard_input_are_split_into_the_same_texts(lines, ends):
    content = ("\n".join("".join(line.split("\n")) for line in lines) + "\n" * ends).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_bytes(content)
        read = [text for batch in read_batches(path) for text in batch.column("text").to_pylist()]
    assert read == [text for part in read_lines(io.BufferedReader(io.BytesIO(content))) for text in part]


def test_a_line_that_is_not_utf_8_is_reported_with_its_number(store):
    done = predict(store, "--input", "-", given=b"good\n\xff\n")
    assert done.returncode == 1
    assert b"line 2 of standard input is not UTF-8" in done.stderr


def test_only_the_first_text_is_left_in_the_arguments():
    assert split_texts(["--text", "a", "--model", "2", "--text=b=c"]) == (
        ["--model", "2", "--text= a b=c"],
        ["a", "b=c"],
    )
    assert split_texts(["--text=-a", "--explain=2", "--text", "-5"]) == (["--explain=2", "--text= -a -5"], ["-a", "-5"])
    assert split_texts(["--text", "none"]) == (["--text= none"], ["none"])
    with pytest.raises(UsageError, match="--text: expected one argument"):
        parse_command_line(PredictSettings, split_texts(["--text"])[0], "predict_flow.py", "")
    assert split_texts(["--text-column", "t"]) == (["--text-column", "t"], [])


def test_lines_are_read_as_they_arrive(tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        lines = read_lines(stream)
        os.write(writer, b"one\ntw")
        assert next(lines) == ["one"]
        os.write(writer, b"o\nthree\nfour")
        assert next(lines) == ["two", "three"]
        os.close(writer)
        assert list(lines) == [["four"]]


def test_a_copied_store_is_read_at_its_new_path_and_not_changed(store, tmp_path, monkeypatch):
    with sqlite3.connect(store / "mlflow" / "mlflow.db") as database:
        place = f"{store.as_uri()}/mlflow/artifacts/1/classifier"
        database.execute("UPDATE model_versions SET source = ?, storage_location = NULL", [place])
    (store / "mlflow" / "artifacts" / "1").mkdir(parents=True)
    shutil.copytree(store / "registered", store / "mlflow" / "artifacts" / "1" / "classifier")
    seen = tmp_path / "100% elsewhere?"
    shutil.copytree(store, seen)
    shutil.rmtree(store / "mlflow" / "artifacts")
    monkeypatch.setenv("ARTIFACTS_STORE", str(seen))
    before = (seen / "mlflow" / "mlflow.db").read_bytes()
    found = find_version(None, None, None)
    assert found.name == "imdb-classifier version 1"
    assert fetch_bundle(found, None, tmp_path).is_relative_to(seen)
    assert (seen / "mlflow" / "mlflow.db").read_bytes() == before
