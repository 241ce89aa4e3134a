import time

import pytest

from tasks.store.bucket import Bucket
from tests.faults.driver import EPOCHS, Driver, contents, end, kill_when, made, metrics_of
from tests.support.object_store import SECRET

pytestmark = pytest.mark.faults


@pytest.fixture
def sharing(imdb, server, tmp_path, shared_address, monkeypatch) -> Driver:
    """Runs whose folders are copies of one store in a bucket."""
    monkeypatch.setenv("ARTIFACTS_LEASE_SECONDS", "4")
    return Driver(imdb, tmp_path, server, shared_address)


def test_what_one_machine_has_made_another_takes(sharing, undisturbed, tmp_path, shared_address):
    first = sharing.finish(tmp_path / "here")
    second = sharing.finish(tmp_path / "there")
    assert contents(first) == contents(second) == contents(undisturbed[0])
    assert set(made(first)) >= {"download", "encode", "train", "evaluate"}
    assert set(made(second)) <= {"track", "promote", "run_folder"}
    assert "Epoch 1" not in sharing.log()
    assert len({name.split("/")[1] for name in Bucket(shared_address).names("runs")}) == 2


def test_a_worker_killed_in_its_third_epoch_is_followed_by_one_on_another_machine(sharing, undisturbed, tmp_path):
    def three_epochs_are_shared(_store, _ran):
        return any("epoch-00003.json" in name for name in Bucket(sharing.shared).names("checkpoints"))

    assert kill_when(sharing.start(tmp_path / "here"), tmp_path / "here", three_epochs_are_shared, seconds=120)
    metrics = sharing.finish(tmp_path / "there")
    assert "Going on after epoch" in sharing.log()
    assert f"Epoch 2/{EPOCHS}:" not in sharing.log()
    assert contents(metrics) == contents(undisturbed[0])
    left = [name for name in Bucket(sharing.shared).names("checkpoints") if "epoch-" in name]
    assert len(left) == 2  # the last state and its file, for a longer training


def test_two_machines_at_once_make_each_artifact_once(sharing, undisturbed, tmp_path):
    runs = {name: sharing.start(tmp_path / name) for name in ("here", "there")}
    try:
        assert [run.wait(240) for run in runs.values()] == [0, 0]
    finally:
        for run in runs.values():
            end(run)
    both = [metrics_of(tmp_path / name) for name in runs]
    assert contents(both[0]) == contents(both[1]) == contents(undisturbed[0])
    once = {"download", "encode", "pad", "baseline", "build", "train", "score", "evaluate", "figures", "package"}
    assert sorted(step for metrics in both for step in made(metrics) if step in once) == sorted(once)


def test_slow_and_failing_requests_and_an_upload_cut_off_cost_a_run_nothing(
    sharing, undisturbed, tmp_path, object_store
):
    object_store.slow, object_store.every, object_store.cuts = 0.02, 10, r"epoch-00002|train/.*artifact\.json"
    assert contents(sharing.finish(tmp_path / "here")) == contents(undisturbed[0])


def test_credentials_that_are_refused_are_named_and_shown_nowhere(sharing, undisturbed, tmp_path, object_store):
    object_store.refusing = True
    run = sharing.start(tmp_path / "here")
    try:
        assert run.wait(120) == 2
    finally:
        end(run)
    assert "access is refused" in sharing.log()
    assert "Traceback" not in sharing.log()
    assert SECRET not in sharing.log()


def test_a_store_that_refuses_in_the_middle_loses_no_epoch(sharing, undisturbed, tmp_path, object_store):
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
    object_store.well_again()
    assert contents(sharing.finish(tmp_path / "here")) == contents(undisturbed[0])
    assert f"Epoch 1/{EPOCHS}:" not in sharing.log()
