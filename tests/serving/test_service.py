"""The service: a real process with a real registry and real sockets."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.running import ask, send
from tests.support.keras_scorer import open_keras


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


def test_model_returns_version_and_labels(running):
    status, content = ask(running.port, "/model")
    assert (status, content["version"], content["labels"]) == (200, 1, ["negative", "positive"])


def test_health_metrics_and_openapi_respond(running):
    assert ask(running.port, "/health") == (200, {"status": "ok", "token": False})
    ask(running.port, "/predict", {"texts": ["good"]})
    metrics = ask(running.port, "/metrics")[1]
    assert 'classifier_serves{model="imdb-classifier version 1"} 1.0' in metrics
    assert 'classifier_requests_total{path="/predict",status="200"}' in metrics
    assert set(ask(running.port, "/openapi.json")[1]["paths"]) == {"/predict", "/health", "/model", "/metrics"}


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


@pytest.mark.slow
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
def test_slow_clients_are_disconnected_and_delay_no_other_client(running, slow):
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
