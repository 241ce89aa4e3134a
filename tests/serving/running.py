"""A real service in a process of its own, and clients that speak to it in bytes, as hostile ones do."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).parents[2]


class Running(NamedTuple):
    """A service at work: its port, its process, and what it says."""

    port: int
    process: subprocess.Popen[str]
    log: Path


@contextmanager
def service(store: Path, *flags: str, log: Path) -> Iterator[Running]:
    """Start a service on any free port, wait until it serves, and end it."""
    environment = os.environ | {"ARTIFACTS_STORE": str(store), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "serving", "--port", "0", *flags]
    with log.open("w") as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            assert found, log.read_text()
            yield Running(int(found[1]), process, log)
        finally:
            process.kill()
            process.wait(10)
            process.stdout.close()  # type: ignore[union-attr]


def ask(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send one request; return the status and the JSON that came back."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request("POST" if body is not None else "GET", path, content, headers)
        answer = connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if answer.headers[
            "content-type"
        ] == "application/json" else said.decode()
    finally:
        connection.close()


def send(port: int, content: bytes, *, wait: float = 5) -> bytes:
    """Send bytes as they are, and return what comes back until the service closes or `wait` seconds are over."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        answer = b""
        try:
            connection.sendall(content)
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass  # a service may hang up on what is hostile, or wait for more: what came until then is the answer
        return answer


def stop(running: Running) -> int:
    """Ask a service to end, and return its exit status."""
    running.process.send_signal(signal.SIGTERM)
    return running.process.wait(40)
