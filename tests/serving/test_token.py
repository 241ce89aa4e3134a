"""The token: which paths need none, and how it is checked."""

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from serving.app import create_app
from serving.champion import Champion
from serving.settings import ServeSettings
from tasks.core.errors import UsageError
from tests.serving.running import ask, service, stop
from tests.support.small_runs import parse_command_line


@pytest.mark.parametrize("host", ["a", "a/health?", "a/health#", "a/docs?x=", "/health?"])
def test_no_host_header_bypasses_the_token(store, monkeypatch, host):
    monkeypatch.setenv("ARTIFACTS_STORE", str(store))
    app = create_app(ServeSettings(token="a secret of mine"), Champion(ServeSettings(), None))
    for path, expected in {"/model": 401, "/health": 200}.items():
        assert asyncio.run(status_of(app, path, host)) == expected
        assert asyncio.run(status_of(app, path, host, b"Bearer a secret of mine")) == 200


async def status_of(app, path: str, host: str, authorization: bytes = b"") -> int:
    """Return the status of the application's answer to GET."""
    sent = []
    headers = [(b"host", host.encode()), *([(b"authorization", authorization)] if authorization else [])]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
    }
    scope |= {"headers": headers, "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)}

    async def receive():
        return {"type": "http.request", "body": b""}

    async def answer(message):
        sent.append(message)

    await app(scope, receive, answer)
    return sent[0]["status"]


@pytest.mark.parametrize("token", ["a secret of mine\n", " a secret of mine\r\n"])
def test_whitespace_around_a_token_is_stripped(token):
    assert ServeSettings(token=token).token.get_secret_value() == "a secret of mine"


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("token", ["", "s3cret", "s3crët-of-mine", "s3cret\nof mine", "s3cret\udcff"])
def test_an_invalid_token_is_refused_and_not_shown(monkeypatch, token, variable):
    if variable:
        monkeypatch.setenv("IMDB_TOKEN", token)
    with pytest.raises(UsageError) as raised:
        parse_command_line(ServeSettings, [] if variable else ["--token", token], "serve", "")
    assert ("IMDB_TOKEN" if variable else "--token") in str(raised.value)
    assert "s3cr" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "s3cret"])
def test_a_short_token_is_refused_in_words_about_tokens(token):
    with pytest.raises(ValidationError, match="a token has 8 or more characters, only printable ASCII"):
        ServeSettings(token=token)


def test_the_service_restarts_after_a_kill_and_finishes_its_requests_on_sigterm(store):
    flags = ["--token", "a secret of mine", "--model", "1"]
    with service(store, *flags, log=store / "killed.log") as running:
        assert ask(running.port, "/health") == (200, {"status": "ok", "token": True})
        running.process.send_signal(signal.SIGKILL)
    with service(store, *flags, log=store / "again.log") as running:
        assert ask(running.port, "/predict", {"texts": ["a"]}) == (401, {"detail": "a bearer token is required"})
        assert ask(running.port, "/model", Authorization="Bearer another one")[0] == 401
        key = {"Authorization": "Bearer a secret of mine"}
        long = {"texts": ["good bad film the a it's " * 60] * 200}
        with ThreadPoolExecutor(4) as threads:
            pending = [threads.submit(ask, running.port, "/predict", long, **key) for _ in range(4)]
            time.sleep(0.2)
            assert stop(running) == 0
            assert [future.result()[0] for future in pending] == [200] * 4
        assert "secret" not in running.log.read_text()
