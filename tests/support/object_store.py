"""S3 on loopback: moto, which can be slow, fail, refuse credentials or cut off uploads, and SeaweedFS."""

import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

from tasks.store.bucket import Bucket
from tests.support.web import free_port, wait_for

BUCKET = "reviews"
SECRET = "a-secret-that-nobody-may-see"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PORTS = [f"{service}.port{kind}" for service in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
WEED = Path(sys.executable).with_name("weed")
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>as the test wants it</Message></Error>"


class ObjectStore:
    """moto's server, one request at a time, with faults that tests switch on.

    Attributes:
        slow: delay of each request in seconds.
        every: one in this many requests fails with 503; 0 for none.
        refusing: whether all credentials are refused.
        cuts: a pattern of names; the first upload of each is cut off in the middle.
        requests: method and path of each request.
        failures: number of requests that failed with 503.
    """

    def __init__(self) -> None:
        self.slow, self.every, self.refusing, self.cuts = 0.0, 0, False, "(?!)"
        self.requests: list[str] = []
        self.failures = 0
        self._app, self._turn, self._count = (
            DomainDispatcherApplication(create_backend_app),
            threading.Lock(),
            itertools.count(1),
        )
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self._was_cut: set[str] = set()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        self.requests.append(f"{method} {path}")
        time.sleep(self.slow)
        if self.refusing:
            return refuse(environ, start_response, "403 Forbidden", "InvalidAccessKeyId")
        if self.every and next(self._count) % self.every == 0:
            self.failures += 1
            return refuse(environ, start_response, "503 Slow Down", "SlowDown")
        if method == "PUT" and re.search(self.cuts, path) and path not in self._was_cut:
            self._was_cut.add(path)
            get_input_stream(environ).read(100)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        with self._turn:
            return list(self._app(environ, start_response))

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a process that uses it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            **CREDENTIALS,
        }

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self.slow, self.every, self.refusing, self.cuts, self.failures = 0.0, 0, False, "(?!)", 0

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def refuse(environ: dict[str, Any], start_response: Callable[..., Any], status: str, code: str) -> Iterable[bytes]:
    """Read the request and respond with an S3 error."""
    get_input_stream(environ).read()
    start_response(status, [("Content-Type", "application/xml")])
    return [ERROR.format(code).encode()]


def make_bucket(environment: dict[str, str]) -> None:
    """Create the bucket of all tests in the object store that the variables name."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        Bucket(f"s3://{BUCKET}").files.call_s3("create_bucket", Bucket=BUCKET)


@contextmanager
def seaweedfs(folder: Path) -> Iterator[dict[str, str]]:
    """Start SeaweedFS with its files in `folder`; yield the environment of its clients."""
    ports = {name: free_port() for name in PORTS}
    command = [str(WEED), "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | CREDENTIALS, cwd=folder, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{ports['s3.port']}"
        wait_for(f"{address}/healthz")
        yield {"AWS_ENDPOINT_URL": address, **CREDENTIALS}
    finally:
        server.kill()
        server.wait(10)
