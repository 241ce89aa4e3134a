"""The service as programs meet it: a real process, a real registry, real sockets."""

import json
import operator
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import champion
from serving.champion import Champion
from serving.settings import ServeSettings
from tasks.network.bundle import assemble
from tasks.registry.client import registry
from tests.serving.running import ask, send, service, stop
from tests.support.champions import register, store_with_champion, write_run_of

TEST = {"accuracy": 0.85, "ci95": [0.84, 0.86]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store whose registry has a champion, and the run folder that made it."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        write_run_of(root, TEST | {"f1": 0.8}, "<p>the report</p>")
        yield root


@pytest.fixture(scope="module")
def running(store):
    """One service for all tests of this module that do not end theirs."""
    flags = ["--look-seconds", "0.2", "--patience", "1", "--max-body", "200000", "--max-waiting", "64"]
    with service(store, *flags, log=store / "service.log") as its:
        yield its


def test_texts_come_back_with_label_probabilities_and_words(running, store):
    keras = assemble("keras", store / "packaged")
    texts = ["Good film", "", "the bad, bad film"]
    status, said = ask(running.port, "/predict", {"texts": texts, "explain": 2})
    assert (status, said["model"]) == (200, "imdb-classifier version 1")
    found = said["predictions"]
    assert np.allclose([its["probability"] for its in found], keras.predict(pa.array(texts)), atol=1e-5)
    assert [its["label"] for its in found] == keras.verdict(keras.predict(pa.array(texts))).to_pylist()
    assert set(found[0]["probabilities"]) == {"negative", "positive"}
    assert {its["word"] for its in found[0]["words"]} == {"good", "film"}
    assert [len(its["words"]) for its in found] == [2, 0, 2]


def test_who_serves_is_told_with_its_accuracy_and_report(running):
    status, said = ask(running.port, "/model")
    assert (status, said["version"], said["labels"]) == (200, 1, ["negative", "positive"])
    assert said["test"] == TEST
    assert ask(running.port, said["report"]) == (200, "<p>the report</p>")


def test_health_metrics_and_openapi_answer(running):
    assert ask(running.port, "/health") == (200, {"status": "ok", "token": False})
    ask(running.port, "/predict", {"texts": ["good"]})
    counted = ask(running.port, "/metrics")[1]
    assert 'classifier_serves{model="imdb-classifier version 1"} 1.0' in counted
    assert 'classifier_requests_total{path="/predict",status="200"}' in counted
    assert set(ask(running.port, "/openapi.json")[1]["paths"]) == {
        "/predict", "/health", "/model", "/metrics", "/report"
    }  # fmt: skip


def test_neither_tensorflow_nor_mlflow_nor_prefect_is_in_the_process(running):
    maps = Path(f"/proc/{running.process.pid}/maps")
    if not maps.exists():
        pytest.skip("what a process has loaded is only shown by Linux")
    loaded = maps.read_text()
    assert "onnxruntime" in loaded
    assert "tensorflow" not in loaded
    assert running.log.read_text() == ""


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"no json", 400, "Invalid JSON"),
        (b"[" * 100_000, 400, "recursion limit"),
        (b'{"texts": ["\\ud800"]}', 400, "hex escape"),
        (b'{"texts": ["\xff"]}', 400, "Invalid JSON"),
        (b"", 400, "Invalid JSON"),
        ([], 422, "object"),
        ({"texts": []}, 422, "texts: List should have at least 1 item"),
        ({"texts": "good"}, 422, "texts: Input should be a valid array"),
        ({"texts": [None, 1]}, 422, "texts.0: Input should be a valid string; texts.1"),
        (b'{"texts": ["a"], "explain": NaN}', 422, "explain: Input should be a valid integer"),
        ({"texts": ["a"], "explain": 21}, 422, "explain: Input should be less than or equal to 20"),
        ({"texts": ["a"], "more": 1}, 422, "more: Extra inputs are not permitted"),
        ({"texts": ["a"] * 10_000}, 413, "10000 texts; at most 256 a request"),
        ({"texts": ["a", "b" * 20_001]}, 413, "texts.1 has 20001 characters; at most 20000"),
        ({"texts": ["a" * 6_000] * 2, "explain": 1}, 413, "12000 characters to explain; at most 10000 a request"),
        (b"a" * 300_000, 413, "the body has more than 200000 bytes"),
    ],
)
def test_a_body_that_is_not_what_is_expected_is_told_what_is(running, body, status, message):
    found, said = ask(running.port, "/predict", body)
    assert found == status
    assert message in said["detail"]
    assert len(said["detail"]) < 600


def test_other_paths_and_methods_are_refused_in_json(running):
    assert ask(running.port, "/nothing") == (404, {"detail": "Not Found"})
    assert ask(running.port, "/predict") == (405, {"detail": "Method Not Allowed"})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda its: st.lists(its, max_size=3) | st.dictionaries(st.sampled_from(["texts", "explain", "x"]), its),
    ).map(lambda its: json.dumps(its).encode())
)
def test_any_body_is_answered_and_no_trace_leaves(running, body):
    status, said = ask(running.port, "/predict", body)
    assert status in (200, 400, 422)
    assert "Traceback" not in json.dumps(said)


def test_a_thousand_hostile_requests_leave_it_answering(running):
    good = json.dumps({"texts": ["good"]}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    ways = [
        lambda rng: rng.randbytes(rng.randrange(1, 400)),
        lambda rng: head % 50 + b'{"texts": ["half a bo',
        lambda rng: head % 10**12,
        lambda rng: b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda rng: b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        lambda rng: b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        lambda rng: head % len(good) + good[: rng.randrange(len(good))] + b"\xff" * 30,
        lambda rng: b"POST /predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        lambda rng: b'{"texts": ["no head"]}',
        lambda rng: head % 1_000 + b'{"texts": ' + b"[" * 900,
    ]

    def attack(number: int) -> bytes:
        rng = random.Random(number)
        return send(running.port, ways[number % len(ways)](rng), wait=0.2)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(attack, range(1_000)))
    assert not [answer for answer in answers if b"Traceback" in answer or b" 500 " in answer]
    assert running.process.poll() is None
    assert ask(running.port, "/predict", {"texts": ["good"]})[0] == 200
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize(
    "slow", [b"POST /pre", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"], ids=["head", "body"]
)
def test_who_sends_too_slowly_is_let_go_and_holds_nobody_up(running, slow):
    began = time.monotonic()
    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(send, running.port, slow) for _ in range(50)]
        assert ask(running.port, "/predict", {"texts": ["good"]})[0] == 200
        answers = [its.result() for its in waiting]
    assert 0.9 < time.monotonic() - began < 4.5
    assert all(answer == b"" or b" 408 " in answer for answer in answers)


def test_more_than_may_wait_are_told_to_come_again(running):
    long = {"texts": ["good film " * 40] * 60}
    with ThreadPoolExecutor(24) as threads:
        found = [its[0] for its in threads.map(lambda _: ask(running.port, "/predict", long), range(48))]
    assert set(found) == {200, 503}
    assert ask(running.port, "/predict", {"texts": ["good"]})[0] == 200


def test_a_new_champion_serves_within_seconds_and_no_request_fails_meanwhile(running, store, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    done, found = threading.Event(), []

    def call() -> None:
        while not done.is_set():
            status, said = ask(running.port, "/predict", {"texts": ["good film", "bad"]})
            found.append((status, said.get("model")))

    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(call) for _ in range(4)]
        register(store / "packaged", store / "second")
        promoted = time.monotonic()
        while not found or found[-1][1] != "imdb-classifier version 2":
            assert time.monotonic() - promoted < 10
            time.sleep(0.05)
        done.set()
        for its in calls:
            its.result()
    assert {status for status, _model in found} == {200}
    assert {model for _status, model in found} == {"imdb-classifier version 1", "imdb-classifier version 2"}
    assert "classifier_champions_total 1.0" in ask(running.port, "/metrics")[1]


def test_a_champion_that_is_not_what_was_registered_is_refused_and_the_old_one_serves_on(running, store, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    serves = ask(running.port, "/model")[1]["name"]
    version = register(store / "packaged", store / "third", alias=None)
    (store / "third" / "model.onnx").write_bytes(b"another network")
    with registry(None) as client:
        client.set_registered_model_alias("imdb-classifier", "champion", version)
        time.sleep(1)
        assert ask(running.port, "/model")[1]["name"] == serves
        assert running.log.read_text().count(f"version {version}: its files are not those that were registered") == 1
        client.set_registered_model_alias("imdb-classifier", "champion", 1)


def test_a_champion_that_cannot_be_loaded_for_whatever_reason_leaves_the_old_one_serving(store, monkeypatch, caplog):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    version = register(store / "packaged", store / "another", alias=None)
    with registry(None) as client:
        client.set_registered_model_alias("imdb-classifier", "champion", 1)
        serving = Champion(ServeSettings(), None, store)
        client.set_registered_model_alias("imdb-classifier", "champion", version)
        with monkeypatch.context() as patch:
            patch.setattr(champion, "load_version", lambda *_: operator.getitem(None, 0))
            assert not serving.look()
            assert not serving.look()
        assert serving.now.version == 1
        assert caplog.text.count("imdb-classifier version 1 goes on serving: nobody foresaw this: TypeError") == 1
        assert serving.look()
        assert serving.now.version == version
        client.set_registered_model_alias("imdb-classifier", "champion", 1)


def test_killed_and_started_again_it_serves_and_told_to_end_it_finishes_what_it_has_begun(store):
    flags = ["--token", "a secret of mine", "--model", "1"]
    with service(store, *flags, log=store / "killed.log") as its:
        assert ask(its.port, "/health") == (200, {"status": "ok", "token": True})
        its.process.send_signal(signal.SIGKILL)
    with service(store, *flags, log=store / "again.log") as its:
        assert ask(its.port, "/predict", {"texts": ["a"]}) == (401, {"detail": "a bearer token is asked for"})
        assert ask(its.port, "/model", Authorization="Bearer another one")[0] == 401
        key = {"Authorization": "Bearer a secret of mine"}
        long = {"texts": ["good bad film the a it's " * 60] * 200}
        with ThreadPoolExecutor(4) as threads:
            begun = [threads.submit(ask, its.port, "/predict", long, **key) for _ in range(4)]
            time.sleep(0.2)
            assert stop(its) == 0
            assert [its.result()[0] for its in begun] == [200] * 4
        assert "secret" not in its.log.read_text()
