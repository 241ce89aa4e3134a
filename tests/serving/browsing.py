"""A real browser: Chromium, controlled over its DevTools protocol."""

import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """A page in the browser: sends commands and collects events."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.numbers = socket, itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **params: Any) -> Any:
        """Send a command, and return its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def value(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        for _ in range(300):
            if self.value(f"Boolean({expression})"):
                return
            time.sleep(0.1)
        raise TimeoutError(f"{expression}: {self.value('document.body.innerText')}")

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        """Press and release a key; modifiers: 2 is Ctrl."""
        text = {"text": "\r"} if key == "Enter" else {}
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.send("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def events_of(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of all events of one kind."""
        return [event["params"] for event in self.events if event["method"] == method]


@contextlib.contextmanager
def browsing(address: str, profile: Path, width: int = 390, scheme: str = "light") -> Iterator[Page]:
    """Open a page as wide as a phone and yield it once it is loaded."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--disable-background-networking", "--no-first-run", "--remote-debugging-port=0", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            listening = profile / "DevToolsActivePort"
            for _ in range(600):
                if listening.exists() and listening.read_text().count("\n"):
                    break
                time.sleep(0.1)
            port = listening.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as response:
                target = next(item for item in json.load(response) if item["type"] == "page")
            with connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=60, proxy=None) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    page.send(f"{domain}.enable")
                page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
                page.send(
                    "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True
                )
                page.send("Page.navigate", url=address)
                page.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
                yield page
        finally:
            browser.kill()
