"""Prefect's server: check one that you run, or start a temporary one; and check the disk and a shared store first.

1. `environment.prepare` sets the variables that Prefect reads on import, which takes two seconds.
2. `run_flow` parses the command line and calls `check_server`, without Prefect.
3. `configured_address` guesses from variables and files whether Prefect has other settings; only then it imports it.
4. `start_server` starts the server's process and then loads what the flow needs, at the same time.
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
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import httpx

from tasks.core.environment import default_variables, store_root
from tasks.core.errors import ServerError, StoreError
from tasks.core.files import locked
from tasks.core.user_paths import has_password
from tasks.store.fingerprint import describe_code
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
    settings = get_current_settings()
    # Nothing watches the heartbeats of its runs, and a run waits up to a second for the thread that sends them.
    settings.flows.heartbeat_frequency = None
    load_meanwhile()
    wait_for_server(process, os.environ["PREFECT_API_URL"], settings.server.ephemeral.startup_timeout_seconds)
    # This server has no pages.
    logging.getLogger("prefect.flow_runs").addFilter(lambda record: not str(record.msg).startswith("View at "))


def load_meanwhile() -> None:
    """Import what runs flows, and fingerprint the code of the steps that are imported, while the server starts."""
    import fastapi  # noqa: F401  for Prefect, when it makes a flow
    import prefect.flow_engine
    import prefect.task_engine  # noqa: F401

    for step in [name for name in sys.modules if name.startswith("tasks.") and name.count(".") == 1]:
        describe_code(step)


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
    raise ServerError(
        f"Prefect's temporary server {ended}; run again, or set PREFECT_API_URL to a server's address; if its database "
        f"is damaged, remove {database_path()}: no step depends on it"
    )


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


def check_server() -> None:
    """Check the connection to Prefect's server, or start a temporary one.

    Raise ServerError, which names address and origin, if it does not answer; StoreError if its disk is too full.
    """
    if address := configured_address():
        return check_address(address)
    database = database_path()
    check_room(database.parent)
    announce_use(store_root())
    with locked(database.with_name(f"{database.name}.lock"), str(database)):  # two servers cannot create it at once
        start_server()


def database_path() -> Path:
    """Return the database of a temporary server."""
    return Path(os.environ["PREFECT_HOME"]) / "prefect.db"


def settings_files() -> list[Path]:
    """Return the existing files that Prefect reads settings from, in its order of precedence."""
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or Path(os.environ.get("PREFECT_HOME", "")) / "profiles.toml"
    files = [Path(".env"), Path("prefect.toml"), Path("pyproject.toml"), Path(profiles)]
    return [file.absolute() for file in files if file.is_file()]


def origin_of(value: str) -> str | None:
    """Return the variable, else the file, that sets one of Prefect's settings to `value`; None if none does."""
    names = sorted(name for name, its in os.environ.items() if name.startswith("PREFECT_") and its == value)
    files = [str(file) for file in settings_files() if value in file.read_text("utf-8", "replace")]
    return next(iter(names + files), None)


def configured_address() -> str | None:
    """Return the address of the server in Prefect's settings, or None for a temporary one."""
    variables = {name for name in os.environ if name.startswith("PREFECT_")} - default_variables(store_root()).keys()
    marks = {"pyproject.toml": "[tool.prefect", "prefect.toml": ""}
    files = (marks.get(file.name, "PREFECT_") in file.read_text("utf-8", "replace") for file in settings_files())
    if "prefect" not in sys.modules and not variables and not any(files):
        return None  # without its import, which takes nearly two seconds
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def check_address(address: str) -> None:
    """Raise ServerError if the server at `address` does not respond as a Prefect server of this version."""
    origin = origin_of(address) or "Prefect's settings"
    if has_password(address):
        raise ServerError(f"{origin}: the server's address has a password in it; set PREFECT_API_AUTH_STRING instead")
    if found := ask_version():
        fix = "fix the address, which ends in /api, or PREFECT_API_AUTH_STRING"
        remedy = "start it (make server)" if "refused" in found else fix
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
        reason = error.__cause__ or error
        return next(iter(str(reason).splitlines()), type(reason).__name__).rstrip(".")
    return ""


def check_room(folder: Path) -> None:
    """Raise StoreError if the disk is too full for the files of a temporary server."""
    free = shutil.disk_usage(folder).free // 10**6
    if free < DATABASE_MB:
        raise StoreError(
            f"{folder}: {free} MB are free on this disk, and Prefect's temporary server needs {DATABASE_MB} MB; free "
            "space, or name a folder on another disk with --store DIR"
        )
