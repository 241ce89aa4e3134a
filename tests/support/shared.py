"""Resources that one test process creates and all of a session use: files, a database, a Prefect server."""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import psutil
from filelock import FileLock

from tests.support.web import free_port, wait_for

# Set in tests/conftest.py; the processes of pytest-xdist inherit it.
VARIABLE = "TESTS_SHARED"
SERVER = "prefect-server.json"
# No test schedules runs on the shared server or reads its events or task runs; tests that do start their own server.
UNUSED_SERVICES = ["SCHEDULER", "LATE_RUNS", "FOREMAN", "PAUSE_EXPIRATIONS", "REPOSSESSOR", "CANCELLATION_CLEANUP"]
UNUSED_SERVICES += ["TRIGGERS", "EVENT_PERSISTER", "TASK_RUN_RECORDER"]
# Prefect takes longer to create its database than to start, so an empty one is kept between sessions.
# It contains Prefect's own block types, which a server need not register again.
REGISTERED = {"PREFECT_SERVER_BLOCKS_REGISTER_ON_START": "false"}
KEPT_DATABASE = Path(__file__).parents[2] / ".pytest_cache" / f"prefect-{version('prefect')}.db"


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the file or folder `name` that the test processes share; the first that asks for it creates it.

    Args:
        make: creates the path that it is called with. Afterwards the path must not be changed, only copied.
    """
    path = Path(os.environ[VARIABLE]) / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            draft = Path(tempfile.mkdtemp(dir=path.parent)) / name  # another process may have failed to make it
            make(draft)
            draft.rename(path)
    return path


def start_prefect_server(environment: dict[str, str]) -> tuple[psutil.Process, str]:
    """Start Prefect's server and wait until it answers; return its process and its API's address.

    The process may outlive this one. Unless the environment names a database, its own is a copy of one without runs.
    """
    database = Path(environment["PREFECT_HOME"]) / "prefect.db"
    if "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in environment and not database.exists():
        copy_empty_database(database)
        environment = environment | REGISTERED
    return launch_prefect_server(environment)


def copy_empty_database(to: Path) -> None:
    """Copy a database of Prefect without runs."""
    if not KEPT_DATABASE.exists():
        shared_prefect_server()
    shutil.copy(KEPT_DATABASE, to)


def keep_empty_database(created: Path) -> None:
    """Keep a copy of a database that a server without runs has open, for later sessions too."""
    KEPT_DATABASE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT_DATABASE.parent) as folder:
        draft = Path(folder) / "prefect.db"
        with closing(sqlite3.connect(created)) as database, closing(sqlite3.connect(draft)) as copy:
            database.backup(copy)
        draft.replace(KEPT_DATABASE)


def launch_prefect_server(environment: dict[str, str]) -> tuple[psutil.Process, str]:
    """Start Prefect's server, which creates its database if necessary."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    server = psutil.Process(os.posix_spawn(sys.executable, command, environment, file_actions=silent))
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health")
    except TimeoutError:
        server.kill()
        raise
    return server, f"http://127.0.0.1:{port}/api"


def shared_prefect_server() -> str:
    """Return the address of the API of the server that all test processes use; it ends with the session."""

    def start(path: Path) -> None:
        home = path.with_name("prefect")
        home.mkdir()
        idle = {f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in UNUSED_SERVICES}
        if KEPT_DATABASE.exists():
            shutil.copy(KEPT_DATABASE, home / "prefect.db")
            idle |= REGISTERED
        server, address = launch_prefect_server(os.environ | idle | {"PREFECT_HOME": str(home)})
        if not KEPT_DATABASE.exists():
            keep_empty_database(home / "prefect.db")
        path.write_text(json.dumps({"pid": server.pid, "address": address}))

    return str(json.loads(made_once(SERVER, start).read_text())["address"])


def end_session() -> None:
    """Kill the shared server, if a test has used one, and remove the shared folder."""
    folder = Path(os.environ.pop(VARIABLE))
    if (folder / SERVER).exists():
        server = psutil.Process(json.loads((folder / SERVER).read_text())["pid"])
        server.kill()
        psutil.wait_procs([server], timeout=10)
    shutil.rmtree(folder, ignore_errors=True)
