"""Compare the service with MLflow's own server, on the same champion and machine.

    python benchmarks/serve.py --store artifacts --python image/bin/python

`--python` names the interpreter of an environment that has only deploy/docker/requirements.txt installed, like the
image. For each server this prints the seconds from start to the first response, milliseconds per text with one client
(median and 99th percentile), texts per second with 32 clients, and the memory of all its processes. Measure on an idle
machine.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

WORDS = "a film that begins slowly and ends well with one of the best scenes that I have seen this year"
TEXT = " ".join((WORDS.split() * 20)[:200])
CLIENTS = 32
# Return freed memory to the operating system, as in the image and with `make serve`.
LEAN = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1048576", "MALLOC_MMAP_THRESHOLD_": "33554432"}


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], environment: dict[str, str]) -> Iterator[psutil.Process]:
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield psutil.Process(server.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def ask(connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {content[:200]!r}")
    return content


def wait_for_response(process: psutil.Process, port: int, path: str, body: bytes) -> None:
    while True:
        if process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"{' '.join(sys.argv)}: the server on port {port} has stopped; is there a champion?")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            ask(connection, path, body)
        except OSError:
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()


def call(port: int, path: str, body: bytes, count: int) -> list[float]:
    connection, seconds = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    for _ in range(count):
        started = time.perf_counter()
        ask(connection, path, body)
        seconds.append(time.perf_counter() - started)
    connection.close()
    return seconds


def measure(
    command: list[str], environment: dict[str, str], port: int, path: str, body: bytes, count: int
) -> dict[str, Any]:
    started = time.perf_counter()
    with serving(command, environment) as process:
        wait_for_response(process, port, path, body)
        first = time.perf_counter() - started
        call(port, path, body, 10)
        alone = call(port, path, body, count)
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as threads:
            for done in [threads.submit(call, port, path, body, count // 8) for _ in range(CLIENTS)]:
                done.result()
        rate = CLIENTS * (count // 8) / (time.perf_counter() - started)
        memory = sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])
    return {
        "start": first,
        "p50_ms": 1000 * statistics.median(alone),
        "p99_ms": 1000 * statistics.quantiles(alone, n=100)[98],
        "texts_per_second": rate,
        "memory_mb": memory / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="a store whose registry has a champion")
    parser.add_argument("--model", default="imdb-classifier", help="its registered name")
    parser.add_argument("--count", type=int, default=400, help="requests of the single client")
    parser.add_argument("--python", default=sys.executable, help="the service's interpreter; default: this one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    store = arguments.store.resolve()
    os.environ["ARTIFACTS_STORE"] = str(store)
    from tasks.registry.client import address_of

    scripts = Path(tempfile.mkdtemp())
    # MLflow looks for uvicorn on the PATH; an environment that is not activated is not on it.
    (scripts / "uvicorn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uvicorn "$@"\n')
    (scripts / "uvicorn").chmod(0o755)
    quiet = {"MLFLOW_TRACKING_URI": address_of(None), "MLFLOW_DISABLE_TELEMETRY": "true"}
    path = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    mine, theirs = free_port(), free_port()
    figures = {
        "service": measure(
            [arguments.python, "-m", "serving", "--port", str(mine), "--registered-model", arguments.model],
            {**os.environ, **LEAN, "PYTHONPATH": str(Path(__file__).parents[1])},
            mine, "/predict", json.dumps({"texts": [TEXT]}).encode(), arguments.count,
        ),
        "mlflow": measure(
            [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{arguments.model}@champion",
             "--env-manager", "local", "--host", "127.0.0.1", "--port", str(theirs), "--workers", "1"],
            {**os.environ, **quiet, **path},
            theirs, "/invocations", json.dumps({"inputs": [TEXT]}).encode(), arguments.count,
        ),
    }  # fmt: skip
    shutil.rmtree(scripts)
    for name, row in figures.items():
        print(name.ljust(8), "  ".join(f"{key} {value:.1f}" for key, value in row.items()))
    rate = figures["service"]["texts_per_second"] / figures["mlflow"]["texts_per_second"]
    memory = figures["service"]["memory_mb"] / figures["mlflow"]["memory_mb"]
    print(f"service over mlflow: texts per second {rate:.1f}, memory {memory:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
