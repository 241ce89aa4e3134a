"""Loopback servers: a file server whose paths select faults, and a proxy; free ports, and waiting for servers."""

import base64
import http.client
import socket
import struct
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

POLL_SECONDS = 0.02  # how soon a server notices that it is to stop; the default is half a second
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


class Handler(BaseHTTPRequestHandler):
    """Serves files; the first part of the path selects the behaviour: plain, or one of the faults below."""

    folder: Path
    seen: Counter[str]

    def do_GET(self) -> None:
        self.seen[self.path] += 1
        behaviour, _, name = self.path.strip("/").partition("/")
        file = self.folder / name
        if behaviour == "redirect":
            self.send_response(302)
            self.send_header("Location", (self.folder / name).as_uri())
            self.end_headers()
        elif behaviour == "moved":
            self.send_response(301)
            self.send_header("Location", f"/plain/{name}")
            self.end_headers()
        elif behaviour == "unlimited":
            self.send_response(200)
            self.send_header("Content-Length", "many")
            self.end_headers()
        elif behaviour == "flaky" and self.seen.total() <= 2:
            self.send_error(503)
        elif behaviour == "cut" and self.seen.total() <= 1:
            self.send_body(file.read_bytes(), short=True)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets it
        elif behaviour == "broken":
            self.send_error(500)
        elif behaviour == "locked" and self.headers.get("Authorization") != BASIC:
            self.send_error(401)
        elif behaviour == "gone" or not file.is_file():
            self.send_error(404)
        else:
            is_declared = behaviour != "undeclared"
            self.send_body(file.read_bytes(), behaviour == "short", behaviour == "reversed", is_declared)

    def send_body(self, content: bytes, short: bool = False, reverse: bool = False, is_declared: bool = True) -> None:
        self.send_response(200)
        if is_declared:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if short else content[::-1] if reverse else content)

    def log_message(self, *_arguments: object) -> None:
        """Suppress the log."""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Serve `folder`; yield the server's address and the number of requests per path."""
    seen: Counter[str] = Counter()
    handler = type("FolderHandler", (Handler,), {"folder": folder, "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextmanager
def proxying(port: int, strip: str) -> Iterator[int]:
    """Pass requests on to a port of this machine, without the prefix `strip` of their paths; yield the proxy's port."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request(self.command, self.path.removeprefix(strip), body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Security-Policy"):
                self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_arguments: object) -> None:
            """Suppress the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def wait_for(address: str) -> None:
    """Wait up to five minutes until a server responds: a busy machine starts one slowly."""
    for _ in range(1500):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:  # it refuses the connection or does not respond in time
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(address)


def ask(address: str, path: str, **body: object) -> list[dict]:
    """Send a request to Prefect's API and return the decoded response."""
    import httpx

    response = httpx.post(f"{address}/{path}", json=body, timeout=30, trust_env=False)
    response.raise_for_status()
    return response.json()


def wait_until(condition, seconds: float, describe) -> None:
    """Wait until `condition()` is true; after `seconds`, fail with the text of `describe()`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, describe()
        time.sleep(0.5)
