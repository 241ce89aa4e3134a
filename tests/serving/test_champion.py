"""A new champion takes over while the service runs, and a damaged one does not."""

import operator
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from serving import champion
from serving.champion import Champion
from serving.settings import ServeSettings
from tasks.registry.client import registry
from tests.serving.running import ask
from tests.support.champions import register


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


def test_a_service_follows_its_own_model_even_if_another_one_becomes_the_default(store, monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    with registry(None) as client:
        client.delete_registered_model_alias("imdb-classifier", "champion")
        first = register(store / "packaged", store / "tickets", model="tickets-classifier")
        serving = Champion(ServeSettings(), None)
        client.set_registered_model_alias("imdb-classifier", "champion", 1)
        assert not serving.look()
        assert serving.now.classifier.name == f"tickets-classifier version {first}"
        second = register(store / "packaged", store / "newer tickets", model="tickets-classifier")
        assert serving.look()
        assert serving.now.classifier.name == f"tickets-classifier version {second}"
        client.delete_registered_model("tickets-classifier")
