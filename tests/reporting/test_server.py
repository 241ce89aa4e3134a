import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tasks.core.errors import StoreError
from tasks.reporting.preflight import APPLICATION, prepare_server, set_aside_damaged_database, stop_orphans
from tasks.reporting.watchdog import OWNER, start_watchdog
from tasks.store.in_use import announce_use

# A run: it announces itself, has a process started that looks like Prefect's server, tells its id, and sleeps.
RUN = f"""
import os, subprocess, sys, time
from pathlib import Path
from tasks.store.in_use import announce_use
os.environ["{OWNER}"] = announce_use(Path(sys.argv[1])).lock_file
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "{APPLICATION}"]).pid, flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def live_run(store, home):
    """Give a run and its server."""
    command, told = [sys.executable, "-c", RUN, str(store)], os.environ | {"PREFECT_HOME": str(home)}
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as run:
        server = psutil.Process(int(run.stdout.readline()))
        try:
            yield run, server
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                server.kill()
            run.kill()


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_killed_runs_server_is_stopped_and_a_live_runs_never(tmp_path):
    store, home = tmp_path / "store", tmp_path / "store" / "prefect"
    with live_run(store, home) as (killed, orphan), live_run(store, home) as (_live, served):
        assert stop_orphans(home) == 0
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(10)
        assert stop_orphans(tmp_path / "another-home") == 0
        assert stop_orphans(home) == 1
        assert not is_running(orphan)
        assert is_running(served)


def test_two_runs_that_stop_the_same_orphans_at_once_both_go_on(tmp_path):
    store, home = tmp_path / "store", tmp_path / "store" / "prefect"
    stopping = (
        "import sys; from pathlib import Path; from tasks.reporting.preflight import stop_orphans;"
        "print('ready', flush=True); sys.stdin.readline(); print(stop_orphans(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", stopping, str(home)]
    with contextlib.ExitStack() as stack:
        killed = [stack.enter_context(live_run(store, home)) for _ in range(4)]
        runs = [subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) for _ in range(2)]
        assert [run.stdout.readline() for run in runs] == ["ready\n", "ready\n"]
        for run, _orphan in killed:
            run.kill()
            run.wait(10)
        for run in runs:
            print("go", file=run.stdin, flush=True)
        results = [run.communicate(timeout=60) for run in runs]
        assert [(run.returncode, errors) for run, (_count, errors) in zip(runs, results, strict=True)] == [(0, "")] * 2
        assert sum(int(count) for count, _errors in results) >= 4
        assert not any(is_running(orphan) for _run, orphan in killed)


def test_all_that_a_killed_run_has_started_ends_by_itself_and_nothing_else(tmp_path):
    """Its children, and theirs: also one in a session of its own, and one that ignores SIGTERM."""
    others = (
        'import subprocess, sys, time; print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)'
    )
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True); time.sleep(60)"
    )
    run = (
        "import subprocess, sys, time; from pathlib import Path; from tasks.reporting.watchdog import start_watchdog;"
        "from tasks.store.in_use import announce_use; start_watchdog(announce_use(Path(sys.argv[1])).lock_file);"
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


def start_server(home, **told) -> subprocess.Popen:
    """Start what looks like Prefect's server, as a child of this process."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", APPLICATION]
    return subprocess.Popen(command, env=os.environ | {"PREFECT_HOME": str(home)} | told)


def test_an_orphan_that_a_live_process_has_adopted_is_stopped(tmp_path):
    """As most desktops do, which let a process of the session be the parent of what is orphaned in it."""
    with start_server(tmp_path, **{OWNER: str(tmp_path / "gone.lock")}) as adopted:
        assert stop_orphans(tmp_path) == 1
        assert not psutil.pid_exists(adopted.pid)


def test_a_live_runs_server_stays_whatever_its_parent_is(tmp_path):
    """In a container a run may be the system's first process, to which all orphans go."""
    told = os.environ | {"PREFECT_HOME": str(tmp_path), OWNER: announce_use(tmp_path / "store").lock_file}
    middle = (
        "import subprocess, sys; quiet = subprocess.DEVNULL; print(subprocess.Popen([sys.executable, '-c', "
        f"'import time; time.sleep(60)', '{APPLICATION}'], stdout=quiet, stderr=quiet).pid)"
    )
    done = subprocess.run([sys.executable, "-c", middle], env=told, capture_output=True, text=True, check=True)
    served = psutil.Process(int(done.stdout))
    try:
        assert served.ppid() != os.getpid()
        assert stop_orphans(tmp_path) == 0
        assert is_running(served)
    finally:
        served.kill()


def test_a_server_that_a_person_started_is_left_alone(tmp_path):
    with start_server(tmp_path) as theirs:
        assert stop_orphans(tmp_path) == 0
        theirs.kill()


def test_a_server_inherits_its_owners_name(store, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(store / "prefect"))
    monkeypatch.delenv(OWNER, raising=False)
    prepare_server(warn=pytest.fail)
    assert os.environ.pop(OWNER) == announce_use(store).lock_file
    start_watchdog(announce_use(store).lock_file).communicate()  # nothing is left, so it ends at once


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


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_LOCKED])
def test_a_database_in_use_is_not_taken_for_a_damaged_one(database, monkeypatch, code):
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Refusing(code))
    set_aside_damaged_database(database, warn=pytest.fail)
    assert database.exists()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY]
)
def test_a_database_that_cannot_be_read_is_reported_and_stays(database, monkeypatch, code):
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Refusing(code))
    with pytest.raises(
        StoreError, match=r"prefect\.db: Prefect's database cannot be read \(this is what SQLite says\)"
    ):
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
