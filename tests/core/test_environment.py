import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import Settings
from sqlalchemy.engine import make_url

from tasks.core.environment import (
    check_certificates,
    default_variables,
    make_folders,
    prepare,
    store_address,
    store_root,
    without_proxy,
)
from tasks.core.errors import ServerError, StoreError

PROJECT = Path(__file__).parents[2]
PREDICT = [sys.executable, str(PROJECT / "flows" / "predict_flow.py")]  # the only flow that does not import Prefect


@pytest.mark.parametrize("name", ["a b#c%20d?e", "plain"])
def test_prefects_database_is_in_the_store_for_any_store_name(tmp_path, name, monkeypatch):
    (tmp_path / name / "prefect").mkdir(parents=True)
    for variable in [key for key in os.environ if key.startswith("PREFECT")]:
        monkeypatch.delenv(variable)
    for variable, value in default_variables(tmp_path / name).items():
        monkeypatch.setenv(variable, value)
    address = Settings().server.database.connection_url.get_secret_value()
    assert make_url(address).database == str(tmp_path / name / "prefect" / "prefect.db")


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


def test_a_database_set_by_the_user_is_not_replaced(monkeypatch):
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////elsewhere.db")
    monkeypatch.delenv("PREFECT_HOME")
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in default_variables(Path("/a?b"))
    monkeypatch.delenv("PREFECT_API_DATABASE_CONNECTION_URL")
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" in default_variables(Path("/a?b"))


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


def test_invalid_prefect_settings_are_reported_with_their_variable(tmp_path):
    flow = PROJECT / "flows" / "housekeeping_flow.py"
    done = subprocess.run(
        [sys.executable, str(flow), "prune", "--store", str(tmp_path)],
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


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SSL_CERT_FILE", "/no/such.pem", "No such file or directory"),
        ("REQUESTS_CA_BUNDLE", __file__, "it has no certificates"),
    ],
)
def test_unreadable_certificates_are_reported_with_their_variable(monkeypatch, name, value, reason):
    monkeypatch.setenv(name, value)
    with pytest.raises(ServerError) as raised:
        check_certificates()
    assert str(raised.value) == f"{name}={value}: cannot be read ({reason}); fix or unset {name}"


@pytest.mark.parametrize(
    ("redirection", "status", "line"),
    [
        (
            ">&-",
            2,
            "predict_flow.py: error: standard output is closed; open it, or discard the output with > /dev/null",
        ),
        ("<&-", 2, "predict_flow.py: error: --explain x: input should be a valid integer"),
        ("2>&-", 2, ""),
    ],
)
def test_closed_stdout_is_reported_and_other_closed_streams_are_ignored(tmp_path, redirection, status, line):
    command = shlex.join([*PREDICT, "--text", "a", "--explain", "x", "--store", str(tmp_path)])
    done = subprocess.run(["bash", "-c", f"{command} {redirection}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == bool(line)


def test_scoring_lines_from_a_closed_standard_input_is_an_error(tmp_path):
    command = [*PREDICT, "--input", "-", "--store", str(tmp_path)]
    done = subprocess.run(["bash", "-c", f"{shlex.join(command)} <&-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "predict_flow.py: error: --input -: standard input is closed; expected one text per line\n"


@pytest.mark.parametrize("command", [PREDICT, [sys.executable, "-m", "serving"]])
def test_another_tasks_module_on_the_path_is_not_imported(tmp_path, command):
    (tmp_path / "tasks.py").write_text("raise SystemExit('another tasks.py was imported')")
    told = os.environ | {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    done = subprocess.run([*command, "--help"], cwd=tmp_path, env=told, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage:")


def test_a_user_without_a_home_folder_has_the_store_as_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path))
    monkeypatch.setattr(Path, "home", no_home)
    prepare([])
    assert os.environ["HOME"] == str(tmp_path)


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_shared_store_without_a_home_folder_needs_artifacts_copy(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ARTIFACTS_COPY", raising=False)
    monkeypatch.setenv("ARTIFACTS_STORE", "s3://reviews/x")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user with neither HOME nor a passwd entry
    with pytest.raises(StoreError, match="no home folder; set ARTIFACTS_COPY to a folder to write to"):
        store_root()


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


def test_make_overrides_pip_user():
    """With PIP_USER=1, which some images set, pip would install into the home folder."""
    command = ["make", "--silent", "--eval", "show:; @echo $$PIP_USER", "show"]
    told = os.environ | {"PIP_USER": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=told, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"
