import os
import random
import shutil
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.files import hash_file
from tests.faults.driver import (
    EPOCHS,
    assert_files_complete,
    check_registry,
    contents,
    end,
    kill_moments,
    kill_when,
    metrics_of,
)

pytestmark = pytest.mark.faults


def test_a_run_killed_at_any_moment_produces_the_same_bytes(driver, undisturbed, tmp_path, capsys):
    """FAULT_KILLS and FAULT_SECONDS limit the number of kills and the time; FAULT_SEED sets the seed.

    FAULT_FLAGS replaces the flags of the runs, which are the case study on small generated texts.
    """
    most, seconds = int(os.environ.get("FAULT_KILLS", 15)), float(os.environ.get("FAULT_SECONDS", 150))
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 10**6))
    expected, store, killed, completed, began = contents(undisturbed[0]), tmp_path / "store-0", 0, 0, time.monotonic()
    decision = undisturbed[0]["promotion"]["decision"]
    moments = kill_moments(random.Random(seed), longest=14)
    while killed < most and time.monotonic() - began < seconds:
        alive = kill_when(driver.start(store), store, next(moments), seconds=120)
        killed += alive
        assert_files_complete(store)
        check_registry(store)
        if not alive:
            assert_same_result(store, expected, decision, seed)
            completed += 1
            shutil.rmtree(store)
            # A new name: MLflow keeps reading a database that it has opened, even after its file is deleted.
            store = tmp_path / f"store-{completed}"
    driver.finish(store)
    assert_same_result(store, expected, decision, seed)
    assert_files_complete(store)
    with capsys.disabled():
        print(f"\nkills injected {killed}, survived {killed}; runs completed {completed + 1}; seed {seed}")
    assert killed >= 3


def assert_same_result(store, expected: dict[str, str], decision: str, seed: int) -> None:
    """Check a run's artifacts, and that it is logged, registered and decided on exactly once."""
    assert contents(metrics_of(store)) == expected, f"seed {seed}"
    statuses, decisions = check_registry(store)
    assert statuses.count("FINISHED") == 1, f"seed {seed}"
    assert set(statuses) <= {"FINISHED", "FAILED", "KILLED"}, f"seed {seed}"
    assert decisions == [decision], f"seed {seed}"


# Files that exist while a table is scored: a part and its draft, and the draft of the whole.
SCORING_MOMENTS = (".scores.parquet.parts/*.draft", ".scores.parquet.parts/00000[0-4].parquet", ".scores.parquet.draft")


def test_scoring_killed_at_any_moment_writes_the_same_bytes(driver, undisturbed, tmp_path, capsys):
    """FAULT_KILLS, FAULT_SECONDS and FAULT_SEED as above."""
    most, seconds = int(os.environ.get("FAULT_KILLS", 15)), float(os.environ.get("FAULT_SECONDS", 150))
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 10**6))
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(random.Random(row).choices(words, k=20)) for row in range(40_000)]
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), tmp_path / "texts.parquet")

    def start(folder):
        folder.mkdir(exist_ok=True)
        flags = ["--input", str(tmp_path / "texts.parquet"), "--output", str(folder / "scores.parquet")]
        return driver.start_flow("predict_flow.py", undisturbed[1], *flags)

    def finish(folder):
        run = start(folder)
        try:
            assert run.wait(120) == 0, driver.log()
        finally:
            end(run)
        assert os.listdir(folder) == ["scores.parquet"], f"seed {seed}"
        return hash_file(folder / "scores.parquet")

    began = time.monotonic()
    expected = finish(tmp_path / "undisturbed")
    moments = kill_moments(random.Random(seed), time.monotonic() - began, SCORING_MOMENTS)
    began, killed, completed, folder = time.monotonic(), 0, 0, tmp_path / "0"
    while killed < most and time.monotonic() - began < seconds:
        alive = kill_when(start(folder), folder, next(moments), seconds=120)
        killed += alive
        if (scores := folder / "scores.parquet").exists():
            assert hash_file(scores) == expected, f"seed {seed}"
        if not alive:
            completed += 1
            folder = tmp_path / f"{completed}"
    assert finish(folder) == expected, f"seed {seed}"
    with capsys.disabled():
        print(f"\nkills injected {killed}, survived {killed}; files completed {completed + 1}; seed {seed}")
    assert killed >= 3


def test_training_resumes_after_the_last_complete_epoch(driver, undisturbed, tmp_path):
    store = tmp_path / "store"

    def three_epochs_are_saved(store, _ran):
        return any(store.glob("checkpoints/train/*/epoch-00003.json"))

    assert kill_when(driver.start(store), store, three_epochs_are_saved, seconds=120)
    metrics = driver.finish(store)
    log = driver.log()
    assert "Going on after epoch" in log
    assert f"Epoch 2/{EPOCHS}:" not in log
    assert contents(metrics) == contents(undisturbed[0])
    assert len(list((store / "checkpoints").rglob("epoch-*.json"))) == 1
