"""A real service in its own process, and clients that send it any bytes."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).parents[2]


class Running(NamedTuple):
    """A running service: its port, process and log file."""

    port: int
    process: subprocess.Popen[str]
    log: Path


@contextmanager
def service(store: Path, *flags: str, log: Path) -> Iterator[Running]:
    """Start a service on a free port, wait until it serves, and stop it afterwards."""
    environment = os.environ | {"ARTIFACTS_STORE": str(store), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "serving", "--port", "0", *flags]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=output, text=True)
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]
            address = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            assert address, log.read_text()
            yield Running(int(address[1]), process, log)
        finally:
            process.kill()
            process.wait(10)
            process.stdout.close()  # type: ignore[union-attr]


def ask(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send one request; return the status and the content, decoded if it is JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request("POST" if body is not None else "GET", path, content, headers)
        response = connection.getresponse()
        text = response.read().decode()
        return response.status, json.loads(text) if response.headers["content-type"] == "application/json" else text
    finally:
        connection.close()


def send(port: int, content: bytes, *, wait: float = 5) -> bytes:
    """Send bytes as they are; return the response until the service closes or `wait` seconds pass."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        answer = b""
        # The service may close the connection, or wait for more: then what has arrived is the answer.
        with suppress(TimeoutError, ConnectionError):
            connection.sendall(content)
            while part := connection.recv(65536):
                answer += part
        return answer


def stop(running: Running) -> int:
    """Stop a service with SIGTERM; return its exit status."""
    running.process.send_signal(signal.SIGTERM)
    return running.process.wait(40)
