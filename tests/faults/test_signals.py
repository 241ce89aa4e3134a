import os
import signal
import sqlite3
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.driver import Driver, assert_files_complete, contents, end

pytestmark = pytest.mark.faults

APPLICATION = "prefect.server.api.server:create_app"


def servers(home: Path) -> list[psutil.Process]:
    """Return the Prefect servers whose database is in `home`."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if APPLICATION in (process.info["cmdline"] or []) and process.environ().get("PREFECT_HOME") == str(home)
    ]


def state_of_the_run(store: Path) -> str:
    """Return the name of the state of the one flow run in the database of a store's Prefect server."""
    with sqlite3.connect(store / "prefect" / "prefect.db") as database:
        ((state_name,),) = database.execute("select state_name from flow_run")
    return state_name


def stop_in_training(driver: Driver, store: Path, number: int, kill=os.kill) -> tuple[int, float]:
    """Start a long run and send it a signal in its second epoch; return its exit status and the seconds it took."""
    run = driver.start(store, "--training.epochs", "5000")
    try:
        began = time.monotonic()
        while "Epoch 2/5000" not in driver.log():
            assert run.poll() is None, driver.log()
            assert time.monotonic() - began < 300  # a busy machine
            time.sleep(0.05)
        sent = time.monotonic()
        kill(run.pid, number)
        return run.wait(60), time.monotonic() - sent
    finally:
        end(run)


@pytest.mark.parametrize(("number", "status", "state"), [(signal.SIGTERM, 143, "Crashed"), (signal.SIGINT, 130, "")])
def test_a_signal_stops_a_run_within_seconds_and_keeps_its_epochs(imdb, tmp_path, undisturbed, number, status, state):
    driver, store = Driver(imdb, tmp_path), tmp_path / "store"  # with Prefect's own temporary server
    stopped, seconds = stop_in_training(driver, store, number)
    assert stopped == status, driver.log()
    assert seconds < 10
    assert "interrupted; finished steps and epochs are kept, run again to go on" in driver.log()
    assert servers(store / "prefect") == []
    assert list((store / "checkpoints" / "train").glob("*/epoch-*.json"))
    state_name = state_of_the_run(store)
    assert state_name not in ("Running", "Pending")
    assert state in state_name
    assert_files_complete(store)
    assert contents(driver.finish(store)) == contents(undisturbed[0])


def test_a_signal_to_the_process_group_ends_the_run_and_then_its_server(imdb, tmp_path):
    """As systemd, `timeout` and a closed terminal send it."""
    driver, store = Driver(imdb, tmp_path), tmp_path / "store"
    status, seconds = stop_in_training(driver, store, signal.SIGTERM, os.killpg)
    assert status == 143, driver.log()
    assert seconds < 10, driver.log()
    assert servers(store / "prefect") == []
    assert "Crashed" in state_of_the_run(store)
    assert_files_complete(store)


def test_the_server_of_a_killed_run_ends_by_itself(imdb, tmp_path):
    driver, store = Driver(imdb, tmp_path), tmp_path / "store"
    run = driver.start(store)
    began = time.monotonic()
    while "Beginning flow run" not in driver.log():
        assert time.monotonic() - began < 300  # a busy machine
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)  # the run only, not its server
    run.wait(10)
    _gone, alive = psutil.wait_procs(servers(store / "prefect"), timeout=20)
    assert alive == []
    driver.finish(store)
