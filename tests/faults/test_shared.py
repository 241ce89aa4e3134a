import time

import pytest

from tasks.store.bucket import Bucket
from tests.faults.driver import EPOCHS, Driver, contents, end, executed, kill_when, metrics_of
from tests.support.object_store import SECRET

pytestmark = pytest.mark.faults


@pytest.fixture
def sharing(imdb, server, tmp_path, shared_address, monkeypatch) -> Driver:
    """Starts runs whose stores are copies of one store in a bucket."""
    monkeypatch.setenv("ARTIFACTS_LEASE_SECONDS", "4")
    return Driver(imdb, tmp_path, server, shared_address)


def test_a_second_machine_reuses_the_artifacts_of_the_first(sharing, undisturbed, tmp_path, shared_address):
    first = sharing.finish(tmp_path / "here")
    second = sharing.finish(tmp_path / "there")
    assert contents(first) == contents(second) == contents(undisturbed[0])
    assert set(executed(first)) >= {"download", "encode", "train", "evaluate"}
    assert set(executed(second)) <= {"track", "promote", "run_folder"}
    assert "Epoch 1" not in sharing.log()
    assert len({name.split("/")[1] for name in Bucket(shared_address).names("runs")}) == 2


def test_another_machine_resumes_a_training_killed_in_its_third_epoch(sharing, undisturbed, tmp_path):
    def three_epochs_are_shared(_store, _ran):
        return any("epoch-00003.json" in name for name in Bucket(sharing.shared).names("checkpoints"))

    assert kill_when(sharing.start(tmp_path / "here"), tmp_path / "here", three_epochs_are_shared, seconds=120)
    metrics = sharing.finish(tmp_path / "there")
    assert "Going on after epoch" in sharing.log()
    assert f"Epoch 2/{EPOCHS}:" not in sharing.log()
    assert contents(metrics) == contents(undisturbed[0])
    left = [name for name in Bucket(sharing.shared).names("checkpoints") if "epoch-" in name]
    assert len(left) == 2  # the last state and its file, kept for a longer training


def test_two_concurrent_machines_build_each_artifact_once(sharing, undisturbed, tmp_path):
    runs = {name: sharing.start(tmp_path / name) for name in ("here", "there")}
    try:
        assert [run.wait(240) for run in runs.values()] == [0, 0]
    finally:
        for run in runs.values():
            end(run)
    both = [metrics_of(tmp_path / name) for name in runs]
    assert contents(both[0]) == contents(both[1]) == contents(undisturbed[0])
    once = {
        "download",
        "encode",
        "pad",
        "baseline",
        "build",
        "train",
        "score",
        "evaluate",
        "figures",
        "package",
    }
    assert sorted(step for metrics in both for step in executed(metrics) if step in once) == sorted(once)


def test_a_run_survives_slow_and_failing_requests_and_cut_off_uploads(sharing, undisturbed, tmp_path, object_store):
    object_store.slow, object_store.every, object_store.cuts = 0.02, 10, r"epoch-00002|train/.*artifact\.json"
    assert contents(sharing.finish(tmp_path / "here")) == contents(undisturbed[0])


def test_refused_credentials_are_reported_but_never_shown(sharing, undisturbed, tmp_path, object_store):
    object_store.refusing = True
    run = sharing.start(tmp_path / "here")
    try:
        assert run.wait(120) == 2
    finally:
        end(run)
    assert "access is refused" in sharing.log()
    assert "Traceback" not in sharing.log()
    assert SECRET not in sharing.log()


def test_no_epoch_is_lost_if_the_store_refuses_access_during_training(sharing, undisturbed, tmp_path, object_store):
    run, began = sharing.start(tmp_path / "here"), time.monotonic()
    try:
        while not any("epoch-00002.json" in name for name in Bucket(sharing.shared).names("checkpoints")):
            assert time.monotonic() - began < 120
            time.sleep(0.05)
        object_store.refusing = True
        assert run.wait(120) == 1
    finally:
        end(run)
    assert "access is refused" in sharing.log()
    assert SECRET not in sharing.log()
    object_store.clear_faults()
    assert contents(sharing.finish(tmp_path / "here")) == contents(undisturbed[0])
    assert f"Epoch 1/{EPOCHS}:" not in sharing.log()
