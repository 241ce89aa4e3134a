import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.environment import database_address, prepare, store_address, store_root, without_proxy

PROJECT = Path(__file__).parents[2]
SCRIPT = """
from tasks.core import environment
environment.prepare([])
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.engine import make_url
print(make_url(PREFECT_API_DATABASE_CONNECTION_URL.value()).database)
"""


@pytest.mark.parametrize("name", ["a b#c%20d?e", "plain"])
def test_prefect_keeps_its_database_in_the_store_whatever_its_name_is(tmp_path, name):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    environment = clean | {"ARTIFACTS_STORE": str(tmp_path / name), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(tmp_path / name / "prefect" / "prefect.db"), done.stderr


def test_credentials_in_the_address_of_the_store_are_refused_and_not_shown(tmp_path):
    told = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "ARTIFACTS_STORE": "s3://KEY:a-secret/of-mine@reviews/x"}
    command = [sys.executable, "flows/imdb_flow.py"]
    done = subprocess.run(command, env=told, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "ARTIFACTS_STORE, holds a user or a password" in done.stderr
    assert "Traceback" not in done.stderr
    assert "a-secret" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_a_prefix_may_have_any_sign(monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", "s3://reviews/me@example.org:nightly/")
    assert store_address() == "s3://reviews/me@example.org:nightly"


def test_stores_of_different_addresses_have_different_copies(monkeypatch):
    monkeypatch.delenv("ARTIFACTS_COPY", raising=False)
    places = set()
    for address, endpoint in (("s3://a/b-c", ""), ("s3://a-b/c", ""), ("s3://a/b-c", "http://127.0.0.1:9000")):
        monkeypatch.setenv("ARTIFACTS_STORE", address)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        places.add(store_root())
    assert len(places) == 3


def test_a_database_that_the_user_has_named_stays_named(monkeypatch):
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////elsewhere.db")
    assert database_address(Path("/a?b")) == {}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("", "127.0.0.1,localhost,::1,0.0.0.0"),
        ("example.org, localhost,,", "example.org,localhost,127.0.0.1,::1,0.0.0.0"),
        ("*", "*"),
    ],
)
def test_what_listens_on_this_machine_never_goes_through_a_proxy(listed, expected):
    assert without_proxy(listed) == expected


def test_httpx_and_requests_keep_loopback_from_a_proxy_and_nothing_else(monkeypatch):
    import httpx
    from requests.utils import get_environ_proxies

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    prepare([])
    with httpx.Client() as client:
        proxied = {url: client._transport_for_url(httpx.URL(url)) is not client._transport for url in (
            "http://127.0.0.1:4200", "http://localhost:5000", "http://[::1]:80", "http://example.org", "http://other.org"
        )}  # fmt: skip
    assert [url for url, through in proxied.items() if through] == ["http://other.org"]
    assert [url for url in proxied if get_environ_proxies(url)] == ["http://other.org"]


def test_another_backend_of_keras_is_set_aside_and_named(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    prepare([])
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert capsys.readouterr().err == "KERAS_BACKEND=torch is not used: these networks need tensorflow\n"
    prepare([])
    assert capsys.readouterr().err == ""


def test_settings_that_prefect_cannot_read_are_named_with_their_variable(tmp_path):
    flow = PROJECT / "flows" / "housekeeping_flow.py"
    done = subprocess.run(
        [sys.executable, str(flow), "--store", str(tmp_path)],
        env=os.environ | {"PREFECT_API_REQUEST_TIMEOUT": "soon"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "housekeeping_flow.py: error: Prefect's settings are invalid: request_timeout: input should" in last
    assert last.endswith("; fix PREFECT_API_REQUEST_TIMEOUT")
