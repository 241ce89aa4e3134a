"""A real S3 object store on loopback that can be slow, fail, refuse credentials, or cut off uploads."""

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

from tasks.store.bucket import Bucket

BUCKET = "reviews"
SECRET = "a-secret-that-nobody-may-see"
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>as the test wants it</Message></Error>"


class ObjectStore:
    """moto's server, one request at a time, with faults that tests switch on.

    Attributes:
        slow: delay of each request in seconds.
        every: one in this many requests fails with 503; 0 for none.
        refusing: whether all credentials are refused.
        cuts: a pattern of names; the first upload of each is cut off in the middle.
        requests: method and path of each request.
    """

    def __init__(self) -> None:
        self.slow, self.every, self.refusing, self.cuts = 0.0, 0, False, "(?!)"
        self.requests: list[str] = []
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
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self) -> None:
        """Create the bucket; `environment` must be set."""
        Bucket(f"s3://{BUCKET}").files.call_s3("create_bucket", Bucket=BUCKET)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self.slow, self.every, self.refusing, self.cuts = 0.0, 0, False, "(?!)"

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
