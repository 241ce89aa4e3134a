"""The service: a real process with a real registry and real sockets."""

from tasks.reporting.command_line import UsageError, parse_command_line

import asyncio
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
from serving.app import create_app
from serving.champion import Champion
from serving.settings import ServeSettings
from tasks.network.bundle import open_keras
from tasks.registry.client import registry
from tests.serving.running import ask, send, service, stop
from tests.support.champions import register, store_with_champion, write_run_of

TEST = {"accuracy": 0.85, "ci95": [0.84, 0.86]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a champion in its registry and the run folder that trained it."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        write_run_of(root, TEST | {"f1": 0.8}, "<p>the report</p>")
        yield root


@pytest.fixture(scope="module")
def running(store):
    """One service, shared by the tests that do not stop it."""
    flags = ["--look-seconds", "0.2", "--patience", "1", "--max-body", "200000", "--max-waiting", "64"]
    with service(store, *flags, log=store / "service.log") as running:
        yield running


def test_predict_returns_label_probabilities_and_words(running, store):
    keras = open_keras("keras", store / "packaged")
    texts = ["Good film", "", "the bad, bad film"]
    status, content = ask(running.port, "/predict", {"texts": texts, "explain": 2})
    assert (status, content["model"]) == (200, "imdb-classifier version 1")
    predictions = content["predictions"]
    assert np.allclose([row["probability"] for row in predictions], keras.predict(pa.array(texts)), atol=1e-5)
    assert [row["label"] for row in predictions] == keras.label_names(keras.predict(pa.array(texts))).to_pylist()
    assert set(predictions[0]["probabilities"]) == {"negative", "positive"}
    assert {word["word"] for word in predictions[0]["words"]} == {"good", "film"}
    assert [len(row["words"]) for row in predictions] == [2, 0, 2]


def test_model_returns_version_accuracy_and_report(running):
    status, content = ask(running.port, "/model")
    assert (status, content["version"], content["labels"]) == (200, 1, ["negative", "positive"])
    assert content["test"] == TEST
    assert ask(running.port, content["report"]) == (200, "<p>the report</p>")


def test_health_metrics_and_openapi_respond(running):
    assert ask(running.port, "/health") == (200, {"status": "ok", "token": False})
    ask(running.port, "/predict", {"texts": ["good"]})
    metrics = ask(running.port, "/metrics")[1]
    assert 'classifier_serves{model="imdb-classifier version 1"} 1.0' in metrics
    assert 'classifier_requests_total{path="/predict",status="200"}' in metrics
    assert set(ask(running.port, "/openapi.json")[1]["paths"]) == {
        "/predict", "/health", "/model", "/metrics", "/report"
    }  # fmt: skip


def test_the_process_does_not_load_tensorflow(running):
    maps = Path(f"/proc/{running.process.pid}/maps")
    if not maps.exists():
        pytest.skip("only Linux shows which libraries a process has loaded")
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
        ({"texts": "good"}, 422, "texts: Input should be a valid list"),
        ({"texts": [None, 1]}, 422, "texts.0: Input should be a valid string"),
        (b'{"texts": ["a"], "explain": NaN}', 422, "explain: Input should be a valid integer"),
        ({"texts": ["a"], "explain": 21}, 422, "explain: Input should be less than or equal to 20"),
        ({"texts": ["a"], "more": 1}, 422, "more: is unknown; expected texts and explain"),
        ({"texts": ["a"] * 10_000}, 413, "10000 texts; at most 256 per request"),
        ({"texts": ["a", "b" * 20_001]}, 413, "texts.1 has 20001 characters; at most 20000"),
        ({"texts": ["a" * 6_000] * 2, "explain": 1}, 413, "12000 characters to explain; at most 10000 per request"),
        (b"a" * 300_000, 413, "the body has more than 200000 bytes"),
    ],
)
def test_an_invalid_body_gets_a_status_and_a_reason(running, body, status, message):
    actual, content = ask(running.port, "/predict", body)
    assert actual == status
    assert message in content["detail"]
    assert len(content["detail"]) < 600


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_a_body_may_have_a_byte_order_mark_or_be_utf_16(running, encoding):
    expected = ask(running.port, "/predict", {"texts": ["Good film, à bad"]})
    assert expected[0] == 200
    body = json.dumps({"texts": ["Good film, à bad"]}, ensure_ascii=False).encode(encoding)
    assert ask(running.port, "/predict", body) == expected
    assert ask(running.port, "/predict", body[:-1])[0] == 400


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_compressed_body_is_refused_with_the_reason(running, coding):
    status, content = ask(running.port, "/predict", b"?", **{"Content-Encoding": coding})
    assert status == 415
    assert f"compressed ({coding}); send plain JSON" in content["detail"]


@pytest.mark.parametrize("path", ["/health", "/", "/model", "/report", "/docs", "/nothing", "/predict"])
def test_head_gets_the_status_and_the_headers_of_get(running, path):
    answers = []
    for method in (b"GET", b"HEAD"):
        answer = send(
            running.port, method + b" " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        answers.append((head.splitlines()[0], b"content-length" in head.lower(), body))
    (get, get_length, _), (head, head_length, body) = answers
    assert (head, head_length, body) == (get, get_length, b"")


def test_unknown_paths_and_methods_get_a_json_error(running):
    assert ask(running.port, "/nothing") == (404, {"detail": "Not Found"})
    assert ask(running.port, "/predict") == (405, {"detail": "Method Not Allowed"})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda values: (
            st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(["texts", "explain", "x"]), values)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_gets_a_response_without_a_traceback(running, body):
    status, content = ask(running.port, "/predict", body)
    assert status in (200, 400, 422)
    assert "Traceback" not in json.dumps(content)


def test_the_service_survives_a_thousand_hostile_requests(running):
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
        responses = list(threads.map(attack, range(1_000)))
    assert not [response for response in responses if b"Traceback" in response or b" 500 " in response]
    assert running.process.poll() is None
    assert ask(running.port, "/predict", {"texts": ["good"]})[0] == 200
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize(
    "slow", [b"POST /pre", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"], ids=["head", "body"]
)
def test_slow_clients_are_disconnected_and_delay_nobody(running, slow):
    started = time.monotonic()
    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(send, running.port, slow) for _ in range(50)]
        assert ask(running.port, "/predict", {"texts": ["good"]})[0] == 200
        responses = [future.result() for future in waiting]
    assert 0.9 < time.monotonic() - started < 4.5
    assert all(response == b"" or b" 408 " in response for response in responses)


def test_requests_beyond_the_queue_get_status_503(running):
    long = {"texts": ["good film " * 40] * 60}
    with ThreadPoolExecutor(24) as threads:
        statuses = [status for status, _said in threads.map(lambda _: ask(running.port, "/predict", long), range(48))]
    assert set(statuses) == {200, 503}
    assert ask(running.port, "/predict", {"texts": ["good"]})[0] == 200


def test_a_new_champion_takes_over_within_seconds_without_a_failed_request(running, store, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    done, responses = threading.Event(), []

    def call() -> None:
        while not done.is_set():
            status, content = ask(running.port, "/predict", {"texts": ["good film", "bad"]})
            responses.append((status, content.get("model")))

    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(call) for _ in range(4)]
        register(store / "packaged", store / "second")
        promoted = time.monotonic()
        while not responses or responses[-1][1] != "imdb-classifier version 2":
            assert time.monotonic() - promoted < 10
            time.sleep(0.05)
        done.set()
        for future in calls:
            future.result()
    assert {status for status, _model in responses} == {200}
    assert {model for _status, model in responses} == {"imdb-classifier version 1", "imdb-classifier version 2"}
    assert "classifier_champions_total 1.0" in ask(running.port, "/metrics")[1]


def test_a_champion_with_changed_files_is_rejected_and_the_old_one_keeps_serving(running, store, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    serves = ask(running.port, "/model")[1]["name"]
    version = register(store / "packaged", store / "third", alias=None)
    (store / "third" / "model.onnx").write_bytes(b"another network")
    with registry(None) as client:
        client.set_registered_model_alias("imdb-classifier", "champion", version)
        time.sleep(1)
        assert ask(running.port, "/model")[1]["name"] == serves
        assert running.log.read_text().count(f"version {version}: its files are not those that were registered") == 1
        rejected = f"imdb-classifier version {version}"
        assert ask(running.port, "/health")[1]["rejected_champion"] == rejected
        assert f'classifier_rejected{{model="{rejected}"}} 1.0' in ask(running.port, "/metrics")[1]
        client.set_registered_model_alias("imdb-classifier", "champion", 1)
        time.sleep(1)
        assert "rejected_champion" not in ask(running.port, "/health")[1]
        assert "classifier_rejected{" not in ask(running.port, "/metrics")[1]


def test_the_old_champion_keeps_serving_if_loading_the_new_one_fails_unexpectedly(store, monkeypatch, caplog):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    version = register(store / "packaged", store / "another", alias=None)
    with registry(None) as client:
        client.set_registered_model_alias("imdb-classifier", "champion", 1)
        serving = Champion(ServeSettings(), None)
        client.set_registered_model_alias("imdb-classifier", "champion", version)
        with monkeypatch.context() as patch:
            patch.setattr(champion, "load_model", lambda *_: operator.getitem(None, 0))
            assert not serving.look()
            assert not serving.look()
        assert not serving.look()  # too early
        assert serving.rejected.number == version
        now = time.monotonic()
        monkeypatch.setattr(champion.time, "monotonic", lambda: now + 61)
        assert serving.now.found.number == 1
        assert caplog.text.count("imdb-classifier version 1 goes on serving: unexpected TypeError") == 1
        assert serving.look()
        assert serving.now.found.number == version
        client.set_registered_model_alias("imdb-classifier", "champion", 1)


@pytest.mark.parametrize("host", ["a", "a/health?", "a/health#", "a/docs?x=", "/health?"])
def test_no_host_header_opens_what_requires_a_token(store, monkeypatch, host):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    app = create_app(ServeSettings(token="a secret of mine", root_path="/at"), Champion(ServeSettings(), None))
    for path, expected in {"/model": 401, "/at/model": 401, "/health": 200, "/at/health": 200}.items():
        assert asyncio.run(status_of(app, path, host)) == expected
        assert asyncio.run(status_of(app, path, host, b"Bearer a secret of mine")) == 200


async def status_of(app, path: str, host: str, authorization: bytes = b"") -> int:
    """Return the status of the application's answer to GET."""
    sent = []
    headers = [(b"host", host.encode()), *([(b"authorization", authorization)] if authorization else [])]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
    }
    scope |= {"headers": headers, "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)}

    async def receive():
        return {"type": "http.request", "body": b""}

    async def answer(message):
        sent.append(message)

    await app(scope, receive, answer)
    return sent[0]["status"]


@pytest.mark.parametrize("token", ["a secret of mine\n", " a secret of mine\r\n"])
def test_a_token_has_no_line_end(token):
    assert ServeSettings(token=token).token.get_secret_value() == "a secret of mine"


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("token", ["s3cret", "s3crët-of-mine", "s3cret\nof mine", "s3cret\udcff"])
def test_a_token_that_no_header_can_contain_is_refused_and_not_shown(monkeypatch, token, variable):
    if variable:
        monkeypatch.setenv("IMDB_TOKEN", token)
    with pytest.raises(UsageError) as raised:
        parse_command_line(ServeSettings, [] if variable else ["--token", token], "serve", "")
    assert ("IMDB_TOKEN" if variable else "--token") in str(raised.value)
    assert "s3cr" not in str(raised.value)


def test_attempts_to_load_a_rejected_champion_are_a_minute_apart(store, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    version, attempts, now = register(store / "packaged", store / "rejected", alias=None), [], [0.0]
    with registry(None) as client:
        client.set_registered_model_alias("imdb-classifier", "champion", 1)
        serving = Champion(ServeSettings(), None)
        client.set_registered_model_alias("imdb-classifier", "champion", version)
        monkeypatch.setattr(champion.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(champion, "load_model", lambda *_: attempts.append(now[0]) or operator.getitem(None, 0))
        for _ in range(720):  # an hour
            assert not serving.look()
            now[0] += 5
        client.set_registered_model_alias("imdb-classifier", "champion", 1)
    assert attempts == list(range(0, 3600, 60))


def test_the_service_restarts_after_a_kill_and_finishes_its_requests_on_sigterm(store):
    flags = ["--token", "a secret of mine", "--model", "1"]
    with service(store, *flags, log=store / "killed.log") as running:
        assert ask(running.port, "/health") == (200, {"status": "ok", "token": True})
        running.process.send_signal(signal.SIGKILL)
    with service(store, *flags, log=store / "again.log") as running:
        assert ask(running.port, "/predict", {"texts": ["a"]}) == (401, {"detail": "a bearer token is required"})
        assert ask(running.port, "/model", Authorization="Bearer another one")[0] == 401
        key = {"Authorization": "Bearer a secret of mine"}
        long = {"texts": ["good bad film the a it's " * 60] * 200}
        with ThreadPoolExecutor(4) as threads:
            pending = [threads.submit(ask, running.port, "/predict", long, **key) for _ in range(4)]
            time.sleep(0.2)
            assert stop(running) == 0
            assert [future.result()[0] for future in pending] == [200] * 4
        assert "secret" not in running.log.read_text()
