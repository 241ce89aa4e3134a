import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

import tasks.reporting.prefect_server
from tasks.core.errors import ServerError, StoreError
from tasks.core.layout import PREFECT
from tasks.reporting.prefect_server import DATABASE_MB, check_room, check_server, wait_for_server
from tests.support.processes import running_after
from tests.support.shared import copy_empty_database
from tests.support.web import serving


@pytest.fixture
def silent():
    """The address of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api"


def own_settings(store: Path) -> dict[str, str]:
    """The environment of a process that uses a store, without settings of Prefect's."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return others | {"ARTIFACTS_STORE": str(store)}


@pytest.fixture
def new_store(tmp_path) -> dict[str, str]:
    """The environment of a process that uses a store with Prefect's empty database."""
    (tmp_path / PREFECT).mkdir()
    copy_empty_database(tmp_path / PREFECT / "prefect.db")
    return own_settings(tmp_path)


def refusal(address: str) -> str:
    with temporary_settings({PREFECT_API_URL: address}), pytest.raises(ServerError) as raised:
        check_server()
    return str(raised.value)


def test_an_unreachable_server_is_reported_with_its_source_and_a_remedy(monkeypatch):
    address = "http://127.0.0.1:1/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    said = refusal(address)
    assert said.startswith(f"Prefect's server at {address}, set by PREFECT_API_URL, cannot be used: ")
    assert "refused; start it (make server), or unset PREFECT_API_URL for a temporary server" in said


def test_a_silent_server_times_out(silent, monkeypatch):
    monkeypatch.setattr(tasks.reporting.prefect_server, "LONGEST", 0.2)
    began = time.monotonic()
    assert "timed out" in refusal(silent)
    assert time.monotonic() - began < 5


def test_an_unusable_server_address_is_reported_with_its_cause(tmp_path):
    (tmp_path / "version").write_text("<html>")
    with serving(tmp_path) as (address, _seen):
        for path, answer in (("plain", "404 Not Found"), ("locked", "401 Unauthorized")):
            said = refusal(f"{address}/{path}")
            assert answer in said
            assert "; fix the address, which ends in /api, or PREFECT_API_AUTH_STRING, or " in said
    assert "missing an 'http://' or 'https://' protocol; fix the address" in refusal("nonsense")


def test_an_html_page_is_not_accepted_as_a_prefect_server(tmp_path):
    (tmp_path / "admin").mkdir()
    (tmp_path / "admin" / "version").write_text("<html>")
    with serving(tmp_path) as (address, _seen):
        assert "cannot be used: Expecting value" in refusal(f"{address}/plain")


def test_a_password_in_the_address_is_refused_and_not_printed():
    said = refusal("http://me:secret@127.0.0.1:1/api")
    assert "has a password in it; set PREFECT_API_AUTH_STRING instead" in said
    assert "secret" not in said


def test_no_temporary_server_is_prepared_if_a_server_responds(prefect_server, monkeypatch):
    prepared: list = []
    monkeypatch.setattr(tasks.reporting.prefect_server, "check_room", prepared.append)
    monkeypatch.setattr(tasks.reporting.prefect_server, "announce_use", prepared.append)
    check_server()
    assert prepared == [], "no temporary server is prepared"


def test_a_store_without_enough_free_space_is_refused(tmp_path, monkeypatch):
    check_room(tmp_path)
    monkeypatch.setattr(
        tasks.reporting.prefect_server.shutil, "disk_usage", lambda _: SimpleNamespace(free=DATABASE_MB * 10**6 - 1)
    )
    with pytest.raises(StoreError, match=rf"{tmp_path}: 19 MB are free .* needs 20 MB; free space, or name a folder"):
        check_room(tmp_path)


@pytest.mark.slow
def test_an_unreachable_server_in_a_profile_ends_a_run_with_one_line(tmp_path):
    """A proxy, another backend and an ASCII terminal do not change that."""
    profiles = tmp_path / ".prefect" / "profiles.toml"
    profiles.parent.mkdir()
    profiles.write_text('active = "old"\n[profiles.old]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n')
    flow = Path(__file__).parents[2] / "flows" / "imdb_flow.py"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii", "KERAS_BACKEND": "jax"}
    environment |= dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:2")
    done = subprocess.run(
        [sys.executable, str(flow), "--store", str(tmp_path / "store")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    notice, said = done.stderr.splitlines()
    assert notice == "KERAS_BACKEND=jax is not used: it would change what is computed"
    assert f"error: Prefect's server at http://127.0.0.1:1/api, set by {profiles}, cannot be used" in said
    assert said.endswith(f"or take the address out of {profiles} for a temporary server")


@pytest.mark.slow
def test_a_temporary_server_serves_its_process_and_ends_with_it(new_store):
    run = (
        "import os, sys; from tasks.core import environment; environment.prepare();"
        "from tasks.reporting.prefect_server import start_server; start_server(); from prefect import get_client;"
        "print(os.environ['PREFECT_API_URL'], get_client(sync_client=True).api_url, 'prefect.server' in sys.modules);"
        "from prefect.settings import get_current_settings; print(get_current_settings().flows.heartbeat_frequency)"
    )
    done = subprocess.run([sys.executable, "-c", run], env=new_store, capture_output=True, text=True, check=True)
    address, used, has_imported_server, heartbeats = done.stdout.split()
    assert (used.rstrip("/"), has_imported_server, heartbeats) == (address, "False", "None")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends it")
def test_a_temporary_server_ends_if_its_process_is_killed(new_store):
    run = (
        "import os, time; from tasks.core import environment; environment.prepare();"
        "from tasks.reporting.prefect_server import start_server; start_server();"
        "print(os.environ['PREFECT_API_URL'], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", run], env=new_store, stdout=subprocess.PIPE, text=True) as killed:
        address = killed.stdout.readline().strip()
        (server,) = psutil.Process(killed.pid).children()
        assert httpx.get(f"{address}/health").is_success
        killed.kill()
    assert running_after(20, [server]) == []


@pytest.mark.parametrize(
    ("variables", "file", "asked"),
    [
        ({}, "", "False"),
        ({"PREFECT_LOGGING_LEVEL": "INFO"}, "", "True"),
        ({}, "prefect.toml", "True"),
    ],
)
def test_the_server_starts_after_the_prefect_import_only_with_settings(tmp_path, variables, file, asked):
    if file:
        (tmp_path / file).write_text('[logging]\nlevel = "INFO"\n')
    run = (
        "import sys; from tasks.core import environment; environment.prepare();"
        "from tasks.reporting import prefect_server as its; its.start_server = lambda: print('prefect' in sys.modules);"
        "its.check_server()"
    )
    used = own_settings(tmp_path / "store") | variables | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, env=used, capture_output=True, text=True)
    assert done.stdout.strip() == asked, done.stderr


def test_a_temporary_server_that_ends_at_once_is_reported():
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        with pytest.raises(ServerError, match="temporary server ended with exit status 3; run again, or set PREFECT_"):
            wait_for_server(process, "http://127.0.0.1:1/api", 60)


@pytest.mark.slow
def test_the_error_of_a_damaged_database_says_which_file_to_remove(tmp_path):
    (tmp_path / PREFECT).mkdir()
    database = tmp_path / PREFECT / "prefect.db"
    database.write_text("no database at all")
    run = (
        "from tasks.core import environment; environment.prepare();"
        "from tasks.reporting.prefect_server import start_server; start_server()"
    )
    done = subprocess.run([sys.executable, "-c", run], env=own_settings(tmp_path), capture_output=True, text=True)
    assert f"; if its database is damaged, remove {database}: no step depends on it" in done.stderr
