import json
import subprocess
import sys
import time

import pytest

from tasks.store.store import Store
from tests.faults.driver import Driver, assert_files_complete, contents, end, executed

pytestmark = pytest.mark.faults

STEPS = [
    *("baseline", "build", "download", "encode", "evaluate", "figures"),
    *("package", "pad", "promote", "score", "track", "train"),
]


def run_both(driver: Driver, store, *flags: list[str]) -> list[dict]:
    """Start one run per list of flags at the same time; return their metrics in the order of completion."""
    runs = [driver.start(store, *own) for own in flags]
    try:
        assert [run.wait(240) for run in runs] == [0] * len(runs), driver.log()
    finally:
        for run in runs:
            end(run)
    assert_files_complete(store)
    return [json.loads(path.read_text()) for path in sorted(store.glob("runs/[!l.]*/metrics.json"))]


def test_two_equal_runs_execute_each_step_once(imdb, tmp_path, undisturbed):
    """Each run starts its own temporary server, as in two terminals."""
    driver, store = Driver(imdb, tmp_path), tmp_path / "store"
    metrics = run_both(driver, store, [], [])
    assert sorted(executed(metrics[0]) + executed(metrics[1])) == STEPS
    assert contents(metrics[0]) == contents(metrics[1]) == contents(undisturbed[0])


def test_two_different_runs_do_not_affect_each_other(driver, tmp_path, undisturbed):
    store = tmp_path / "store"
    metrics = run_both(driver, store, [], ["--model.cell", "gru"])
    shared = {"download", "encode", "pad"}
    assert sorted(step for each in metrics for step in executed(each) if step in shared) == sorted(shared)
    assert contents(undisturbed[0]) in [contents(each) for each in metrics]
    assert contents(metrics[0])["train"] != contents(metrics[1])["train"]


def test_the_lock_of_a_killed_process_is_released(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from tasks.store.store import Store;"
        "lock = Store(Path(sys.argv[1])).locked('pad/abc'); lock.__enter__(); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert holder.stdout.readline() == "held\n"
    holder.stdout.close()
    end(holder)
    began = time.monotonic()
    with Store(tmp_path).locked("pad/abc"):
        assert time.monotonic() - began < 1
