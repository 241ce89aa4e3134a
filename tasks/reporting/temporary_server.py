"""The temporary server: Prefect's, in a process of its own, for a run without PREFECT_API_URL."""

import atexit
import logging
import os
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import prefect
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from tasks.core.errors import ServerError

VARIABLES = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
PAUSE = 0.05  # seconds


def start_server() -> None:
    """Start the server and point this process and those that it starts to it; raise ServerError if it does not answer.

    It ends with this process. Prefect would import the server to start it, which takes as long again, and 80 MB.
    """
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parents[1])]
    command += ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    settings = get_current_settings()
    variables = os.environ | VARIABLES | settings.to_environment_variables(exclude_unset=True)
    # In its own session: a signal to the run's process group must leave it the server to report its end to.
    process = subprocess.Popen(command, env=variables, start_new_session=True)
    atexit.register(stop_server, process)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    wait_for_server(process, os.environ["PREFECT_API_URL"], settings.server.ephemeral.startup_timeout_seconds)
    refresh_global_settings_context()
    # This server has no pages.
    logging.getLogger("prefect.flow_runs").addFilter(lambda record: not str(record.msg).startswith("View at "))


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


def stop_server(process: "subprocess.Popen[bytes]") -> None:
    """End the server, by force after five seconds."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
