import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tasks.core.errors import ServerError
from tasks.core.layout import PREFECT
from tasks.reporting.preflight import set_aside_damaged_database, wait_for_server
from tests.support.shared import copy_empty_database


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_all_that_a_killed_run_has_started_ends_by_itself_and_nothing_else(tmp_path):
    """Its children, and theirs: also one in a session of its own, and one that ignores SIGTERM."""
    others = (
        'import subprocess, sys, time; print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)'
    )
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True); time.sleep(60)"
    )
    run = (
        "import subprocess, sys, time; from pathlib import Path; from tasks.core.watchdog import start_watchdog;"
        "from tasks.store.inventory import announce_use; start_watchdog(announce_use(Path(sys.argv[1])).lock_file);"
        "children = [subprocess.Popen([sys.executable, '-c', code], stdout=-1) for code in sys.argv[2:]];"
        "print(*(n for child in children for n in (child.pid, int(child.stdout.readline()))), flush=True);"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", run, str(tmp_path), f"{others}; time.sleep(60)", stubborn]
    with (
        subprocess.Popen(["sleep", "60"]) as bystander,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
    ):
        started = [psutil.Process(int(number)) for number in killed.stdout.readline().split() if int(number)]
        assert len(started) == 3
        killed.kill()
        _gone, alive = psutil.wait_procs(started, timeout=20)
        assert [process for process in alive if is_running(process)] == []
        assert bystander.poll() is None
        bystander.kill()


def test_a_temporary_server_answers_serves_this_process_and_ends_with_it(tmp_path):
    (tmp_path / PREFECT).mkdir()
    copy_empty_database(tmp_path / PREFECT / "prefect.db")
    run = (
        "import os, sys; from tasks.core import environment; environment.prepare();"
        "from tasks.reporting.preflight import start_server; start_server(); from prefect import get_client;"
        "print(os.environ['PREFECT_API_URL'], get_client(sync_client=True).api_url, 'prefect.server' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", run],
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        | {"ARTIFACTS_STORE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    address, used, has_imported_server = done.stdout.split()
    assert (used.rstrip("/"), has_imported_server) == (address, "False")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")


def test_a_temporary_server_that_ends_at_once_is_reported():
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        with pytest.raises(ServerError, match="temporary server ended with exit status 3; run again, or set PREFECT_"):
            wait_for_server(process, "http://127.0.0.1:1/api", 60)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "prefect.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table flow_run (name text)")
        connection.executemany("insert into flow_run values (?)", [(f"run {number}" * 20,) for number in range(500)])
    connection.close()
    return path


def test_a_sound_database_is_left_as_it_is(database):
    before = database.read_bytes()
    set_aside_damaged_database(database, warn=pytest.fail)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"\0" * 100 + content[100:],
        lambda content: content[: len(content) // 2],
        lambda content: content[:4096] + b"\xff" * 4096 + content[8192:],
        lambda content: b"no database at all",
    ],
    ids=["header", "truncated", "page", "text"],
)
def test_a_damaged_database_is_set_aside_and_named(database, damage):
    damaged = damage(database.read_bytes())
    database.write_bytes(damaged)
    said = []
    set_aside_damaged_database(database, warn=said.append)
    assert not database.exists()
    (aside,) = database.parent.glob("prefect.db.damaged-*")
    assert aside.read_bytes() == damaged
    assert str(database) in said[0]
    assert aside.name in said[0]


class Refusing:
    """A database whose every statement fails."""

    def __init__(self, code: int) -> None:
        self.error = sqlite3.OperationalError("this is what SQLite says")
        self.error.sqlite_errorcode = code

    def execute(self, _statement: str) -> None:
        raise self.error

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL]
)
def test_a_database_in_use_is_not_taken_for_a_damaged_one(database, monkeypatch, code):
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Refusing(code))
    set_aside_damaged_database(database, warn=pytest.fail)
    assert database.exists()


def test_a_damaged_database_that_two_runs_find_is_set_aside_once(database, monkeypatch):
    database.write_bytes(b"no database at all")
    both, said, connect = threading.Barrier(2), [], sqlite3.connect

    def look_together(*arguments, **options):
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return connect(*arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", look_together)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(set_aside_damaged_database, database, said.append) for _ in range(2)]
    assert [run.exception() for run in runs] == [None] * 2
    assert len(said) == 1
