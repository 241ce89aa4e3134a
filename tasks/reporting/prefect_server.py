"""Prefect's server: check one that you run, or start a temporary one; and check the disk and a shared store first.

1. `environment.prepare` sets the variables that Prefect reads on import, which takes two seconds.
2. `run_flow` parses the command line and calls `check_server`, without Prefect.
3. `configured_address` guesses from variables and files whether Prefect has other settings; only then it imports it.
4. `start_server` starts the server's process and then imports Prefect, so that both load at once.
5. `wait_for_server` waits until it answers, and the flow runs.
"""

import atexit
import ctypes
import importlib.metadata
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.request import getproxies

import httpx

from tasks.core.environment import default_variables, store_root
from tasks.core.errors import ServerError, StoreError, origin_of, settings_files
from tasks.core.files import is_held, locked
from tasks.core.user_paths import has_password
from tasks.store.inventory import announce_use
from tasks.store.shared_store import SharedStore, open_store

VARIABLES = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
PAUSE = 0.05  # seconds
STOP_SECONDS = 5
LIBC = ctypes.CDLL(None)  # loaded early: a forked process must not load libraries before it starts its program


def start_server() -> None:
    """Start the server and point this process and those that it starts to it; raise ServerError if it does not answer.

    It ends with the thread that calls this, the main one; after a SIGKILL, on Linux only. Prefect itself would import
    the server to start it: two seconds more, and 80 MB.
    """
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    packages = importlib.metadata.distribution("prefect").locate_file("")
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(packages)]
    command += ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    command += ["--timeout-graceful-shutdown", str(STOP_SECONDS // 2)]
    # In its own session: a signal to the run's process group must leave it the server to report its end to.
    end_too = partial(end_with_parent, os.getpid()) if sys.platform == "linux" else None
    process = subprocess.Popen(command, env=os.environ | VARIABLES, start_new_session=True, preexec_fn=end_too)
    atexit.register(stop, process)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    refresh_global_settings_context()
    seconds = get_current_settings().server.ephemeral.startup_timeout_seconds
    wait_for_server(process, os.environ["PREFECT_API_URL"], seconds)
    # This server has no pages.
    logging.getLogger("prefect.flow_runs").addFilter(lambda record: not str(record.msg).startswith("View at "))


def end_with_parent(parent: int) -> None:
    """Have Linux kill this process when `parent`, which started it, has ended without stopping it."""
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it has ended before that call
        os._exit(1)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, by force after some seconds; it may have ended by itself."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def wait_for_server(process: "subprocess.Popen[bytes]", url: str, seconds: float) -> None:
    """Return when the server answers; raise ServerError if it has ended, or after some seconds of waiting.

    Only the pauses count, as in Prefect: a machine that is too busy to run this process does not run the server either.
    """
    with httpx.Client() as client:
        for _ in range(int(seconds / PAUSE)):
            if process.poll() is not None:
                break
            with suppress(httpx.TransportError):
                if client.get(f"{url}/health").is_success:
                    return
            time.sleep(PAUSE)
    ended = "does not answer" if process.returncode is None else f"ended with exit status {process.returncode}"
    raise ServerError(f"Prefect's temporary server {ended}; run again, or set PREFECT_API_URL to a server's address")


def set_aside_damaged_database(path: Path, warn: Callable[[str], None]) -> None:
    """Rename a damaged database, so that the server creates a new one; no step depends on it."""
    if not path.exists():
        return
    # A second process must not set aside the new database of the first.
    with locked(path.with_name(f"{path.name}.lock"), str(path)):
        found = find_damage(path)
        if not found:
            return
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    warn(f"{path}: Prefect's database is damaged ({found}); it is kept as {aside.name}, and a new one is begun")


def find_damage(path: Path) -> str:
    """Return the damage that SQLite finds in a database, or "" if there is none, or it is in use or out of reach."""
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        primary_code = error.sqlite_errorcode & 0xFF
        return str(error) if primary_code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else ""
    return "" if found == "ok" else found


# Seconds: Prefect's client tries four times to connect; a busy server may respond slowly.
CONNECTING, LONGEST = 2.5, 12.0
# Prefect's new database takes 5 MB with its write-ahead log; a run's records come on top.
DATABASE_MB = 20


def check_store(warn: Callable[[str], None]) -> None:
    """Check the connection to a shared store; warn if the champion is not shared.

    Raises:
        StoreError: it does not answer, denies access, or its address is invalid.
    """
    store = open_store()
    if not isinstance(store, SharedStore):
        return
    store.bucket.check()
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        warn(
            f"{store.bucket.address} is shared, but its champion is not: set MLFLOW_TRACKING_URI to a server that all "
            f"machines reach; until then each has a registry of its own, here in {store_root() / 'mlflow'}"
        )


def check_server(warn: Callable[[str], None]) -> None:
    """Check the connection to Prefect's server, or start a temporary one.

    Raise ServerError, which names address and origin, if it does not answer; StoreError if its disk is too full.
    """
    check_proxies()
    if address := configured_address():
        return check_address(address)
    for folder, remedy in writable_places().items():
        check_room(folder, remedy)
    database = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    set_aside_damaged_database(database, warn)
    announce_use(store_root())
    lock = database.with_name(f"{database.name}.lock")
    if is_held(lock):  # `locked` logs that, but Prefect, which shows its log, is not imported yet
        warn(f"{database}: another run is working on it; waiting until it is done")
    with locked(lock, str(database)):  # two servers cannot create the database at once
        start_server()


def configured_address() -> str | None:
    """Return the server's address in Prefect's settings, None for a temporary one; refuse if that is forbidden."""
    variables = {name for name in os.environ if name.startswith("PREFECT_")} - default_variables(store_root()).keys()
    marks = {"pyproject.toml": "[tool.prefect", "prefect.toml": ""}
    files = (marks.get(file.name, "PREFECT_") in file.read_text("utf-8", "replace") for file in settings_files())
    if "prefect" not in sys.modules and not variables and not any(files):
        return None  # without its import, which takes nearly two seconds
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if not (settings.api.url or settings.server.ephemeral.enabled):
        raise ServerError(
            "Prefect has no server: PREFECT_API_URL names none, and PREFECT_SERVER_EPHEMERAL_ENABLED forbids a "
            "temporary one; set the former or unset the latter"
        )
    return settings.api.url


def writable_places() -> dict[Path, str]:
    """Return the folders that every run writes to, with what names another folder."""
    places = {Path(os.environ["PREFECT_HOME"]): "--store DIR", store_root(): "--store DIR"}
    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    return places | ({temporary: "TMPDIR"} if temporary.is_dir() else {})


def check_proxies() -> None:
    """Raise ServerError for a proxy that cannot be used, and name its variables."""
    if not getproxies():
        return
    try:
        httpx.Client().close()
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        names = [name for name in sorted(os.environ) if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]
        reason = "SOCKS needs the package socksio" if isinstance(error, ImportError) else "its address cannot be read"
        raise ServerError(f"{', '.join(names)}: a proxy cannot be used ({reason}); fix or unset it") from error


def check_address(address: str) -> None:
    """Raise ServerError if the server at `address` does not respond as a Prefect server of this version."""
    origin = origin_of(address) or "Prefect's settings"
    if has_password(address):
        raise ServerError(f"{origin}: the server's address has a password in it; set PREFECT_API_AUTH_STRING instead")
    if found := ask_version():
        remedy = "start it (make server)" if "refused" in found else "fix it"
        away = f"unset {origin}" if origin == "PREFECT_API_URL" else f"take the address out of {origin}"
        raise ServerError(
            f"Prefect's server at {address}, set by {origin}, cannot be used: {found}; {remedy}, or {away} for a "
            "temporary server"
        )


def ask_version() -> str:
    """Return why the server in Prefect's settings cannot be used, or ""; with Prefect's client, as the run will."""
    from prefect import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            timeout = httpx.Timeout(LONGEST, connect=CONNECTING)
            with get_client(httpx_settings={"timeout": timeout}, sync_client=True) as client:
                client.raise_for_api_version_mismatch()
    except (RuntimeError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return describe_answer((isinstance(error, RuntimeError) and error.__cause__) or error)
    return ""


def describe_answer(error: BaseException) -> str:
    """Return briefly why a server cannot be used."""
    from prefect.exceptions import PrefectHTTPStatusError

    if isinstance(error, PrefectHTTPStatusError):
        status = error.response.status_code
        if status in (401, 403):
            return f"it refuses us ({status}), so PREFECT_API_AUTH_STRING or PREFECT_API_KEY is missing or wrong"
        return f"it answers {status}, as no server of Prefect's does; the address ends in /api"
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    if isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol):
        return next(iter(str(error).splitlines()), type(error).__name__)
    if isinstance(error, RuntimeError):
        return str(error).rstrip(".")
    return "it is not a Prefect server; the address begins with http and ends in /api"


def check_room(folder: Path, remedy: str) -> None:
    """Raise StoreError if the disk is too full for the files of a temporary server."""
    free = shutil.disk_usage(folder).free // 10**6
    if free < DATABASE_MB:
        raise StoreError(
            f"{folder}: {free} MB are free on this disk, and Prefect's temporary server needs {DATABASE_MB} MB; free "
            f"space, or name a folder on another disk with {remedy}"
        )
