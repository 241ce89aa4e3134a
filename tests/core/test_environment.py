import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.environment import make_folders, prepare, store_address, store_root, without_proxy
from tasks.core.errors import StoreError

PROJECT = Path(__file__).parents[2]
PREDICT = [sys.executable, str(PROJECT / "flows" / "predict_flow.py")]  # the only flow that does not import Prefect


def test_credentials_in_the_store_address_are_refused_and_not_shown(tmp_path):
    told = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "ARTIFACTS_STORE": "s3://KEY:a-secret/of-mine@reviews/x"}
    command = [sys.executable, "flows/imdb_flow.py"]
    done = subprocess.run(command, env=told, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "ARTIFACTS_STORE, holds a user or a password" in done.stderr
    assert "Traceback" not in done.stderr
    assert "a-secret" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_a_bucket_prefix_may_contain_an_at_sign_and_a_colon(monkeypatch):
    monkeypatch.setenv("ARTIFACTS_STORE", "s3://reviews/me@example.org:nightly/")
    assert store_address() == "s3://reviews/me@example.org:nightly"


def test_different_store_addresses_have_different_local_copies(monkeypatch):
    monkeypatch.delenv("ARTIFACTS_COPY", raising=False)
    places = set()
    for address, endpoint in (("s3://a/b-c", ""), ("s3://a-b/c", ""), ("s3://a/b-c", "http://127.0.0.1:9000")):
        monkeypatch.setenv("ARTIFACTS_STORE", address)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        places.add(store_root())
    assert len(places) == 3


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("", "127.0.0.1,localhost,::1,0.0.0.0"),
        ("example.org, localhost,,", "example.org,localhost,127.0.0.1,::1,0.0.0.0"),
        ("*", "*"),
    ],
)
def test_loopback_addresses_are_added_to_no_proxy(listed, expected):
    assert without_proxy(listed) == expected


def test_httpx_and_requests_use_the_proxy_except_for_loopback_and_no_proxy(monkeypatch):
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


def test_another_keras_backend_is_overridden_with_a_warning(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    prepare([])
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert capsys.readouterr().err == "KERAS_BACKEND=torch is not used: it would change what is computed\n"
    prepare([])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [PREDICT, [sys.executable, "-m", "serving"]])
def test_another_tasks_module_on_the_path_is_not_imported(tmp_path, command):
    (tmp_path / "tasks.py").write_text("raise SystemExit('another tasks.py was imported')")
    told = os.environ | {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    done = subprocess.run([*command, "--help"], cwd=tmp_path, env=told, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage:")


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_store_whose_name_prefect_cannot_use_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path / name))
    with pytest.raises(StoreError, match=r"has a \? or a % in its name; name another with --store DIR"):
        make_folders()
    assert not (tmp_path / name).exists()


def test_the_error_of_an_unwritable_cache_folder_names_artifacts_copy(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.delenv("ARTIFACTS_COPY", raising=False)
    monkeypatch.setenv("ARTIFACTS_STORE", "s3://reviews/x")
    with pytest.raises(StoreError, match=r"^/proc/none/.* name a folder that you may write with ARTIFACTS_COPY$"):
        make_folders()


def test_figures_need_no_display(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    code = "from tasks.core.environment import prepare; prepare([]); import matplotlib; print(matplotlib.get_backend())"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("agg\n", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_open_on_the_null_device_here_and_in_started_programs(tmp_path, closed):
    child = "import sys; exit(None in (sys.stdin, sys.stdout, sys.stderr))"
    code = "import os, sys; from tasks.core.environment import prepare; prepare([]); os.execv(sys.executable, sys.argv)"
    command = [sys.executable, "-c", code, "-c", child]
    environment = os.environ | {"ARTIFACTS_STORE": str(tmp_path)}
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], env=environment, timeout=60)
    assert done.returncode == 0


def test_make_overrides_pip_user():
    """With PIP_USER=1, which some images set, pip would install into the home folder."""
    command = ["make", "--silent", "--eval", "show:; @echo $$PIP_USER", "show"]
    told = os.environ | {"PIP_USER": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=told, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"
