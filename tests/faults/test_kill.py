import os
import random
import shutil
import time

import pytest

from tests.faults.driver import (
    EPOCHS,
    assert_nothing_torn,
    contents,
    kill_moments,
    kill_when,
    look_at_registry,
    metrics_of,
)

pytestmark = pytest.mark.faults


def test_a_run_killed_at_any_moment_ends_in_the_same_bytes(driver, undisturbed, tmp_path, capsys):
    """FAULT_KILLS and FAULT_SECONDS bound how many kills, and for how long; FAULT_SEED draws others."""
    most, seconds = int(os.environ.get("FAULT_KILLS", 15)), float(os.environ.get("FAULT_SECONDS", 150))
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 10**6))
    expected, store, killed, completed, began = contents(undisturbed[0]), tmp_path / "store-0", 0, 0, time.monotonic()
    decision = undisturbed[0]["promotion"]["decision"]
    moments = kill_moments(random.Random(seed), longest=14)
    while killed < most and time.monotonic() - began < seconds:
        alive = kill_when(driver.start(store), store, next(moments), seconds=120)
        killed += alive
        assert_nothing_torn(store)
        look_at_registry(store)
        if not alive:
            assert_the_same_ended(store, expected, decision, seed)
            completed += 1
            shutil.rmtree(store)
            # Another name: MLflow goes on reading a database that it has opened, also when its file is gone.
            store = tmp_path / f"store-{completed}"
    driver.finish(store)
    assert_the_same_ended(store, expected, decision, seed)
    assert_nothing_torn(store)
    with capsys.disabled():
        print(f"\nkills injected {killed}, survived {killed}; runs completed {completed + 1}; seed {seed}")
    assert killed >= 3


def assert_the_same_ended(store, expected: dict[str, str], decision: str, seed: int) -> None:
    """Check what a run made, and that it is logged, registered and decided on once, whatever was killed before it."""
    assert contents(metrics_of(store)) == expected, f"seed {seed}"
    statuses, decisions = look_at_registry(store)
    assert statuses.count("FINISHED") == 1, f"seed {seed}"
    assert set(statuses) <= {"FINISHED", "FAILED", "KILLED"}, f"seed {seed}"
    assert decisions == [decision], f"seed {seed}"


def test_training_goes_on_after_the_last_whole_epoch(driver, undisturbed, tmp_path):
    store = tmp_path / "store"

    def three_epochs_are_kept(store, _ran):
        return any(store.glob("checkpoints/train/*/epoch-00003.json"))

    assert kill_when(driver.start(store), store, three_epochs_are_kept, seconds=120)
    metrics = driver.finish(store)
    log = driver.log()
    assert "Going on after epoch" in log
    assert f"Epoch 2/{EPOCHS}:" not in log
    assert contents(metrics) == contents(undisturbed[0])
    assert len(list((store / "checkpoints").rglob("epoch-*.json"))) == 1
