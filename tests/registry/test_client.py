import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.core.errors import InputError, RegistryError
from tasks.registry.client import experiment_id, find_fault, registry, tracking_uri
from tasks.registry.local_registry import as_of_here
from tests.support.web import POLL_SECONDS


@pytest.fixture
def client(store):
    with registry(None) as client:
        yield client


def test_an_experiment_created_concurrently_is_used(client, monkeypatch):
    made, look = experiment_id(client, None, "films"), client.get_experiment_by_name
    seen = [None, look("films")]
    monkeypatch.setattr(client, "get_experiment_by_name", lambda _name: seen.pop(0))
    assert experiment_id(client, None, "films") == made
    assert seen == []


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (
            "localhost:5000",
            "=localhost:5000 has no scheme: write http://localhost:5000 for a server",
        ),
        ("mlflow.example.org/at", "has no scheme: write http://mlflow.example.org/at for a server"),
        ("./mlruns", "=./mlruns is a folder, in which MLflow no longer keeps runs: write sqlite:///PATH/mlflow.db"),
        ("tests", "=tests is a folder"),
        ("mysql+no_such_driver://host/mlflow", "mysql+no_such_driver:// is not known"),
        ("mssql+pymssql://host/mlflow", "mssql+pymssql:// needs the package pymssql: pip install pymssql"),
    ],
)
def test_an_unusable_mlflow_address_is_refused_with_a_remedy(monkeypatch, address, line):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(RegistryError) as raised:
        tracking_uri()
    assert line in str(raised.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "sqlite:///a.db"])
def test_a_valid_mlflow_address_is_accepted(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert tracking_uri() == address


@pytest.mark.parametrize("address", ["./mlruns", "/data/mlruns", "file:///x", "tests"])
def test_a_folder_is_an_mlflow_address_if_mlflow_allows_it(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert tracking_uri() == address


@pytest.mark.parametrize("old", ["/elsewhere", "/a/mlflow/artifacts/b", "/mlflow/artifacts", "/mlflow/artifacts2/x"])
@pytest.mark.parametrize("new", ["s", "mlflow/artifacts/s", "mlflow/artifacts"])
def test_file_addresses_follow_a_moved_store(monkeypatch, tmp_path, old, new):
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path / new))
    for place in ("/mlflow/artifacts/0/run/artifacts", "/mlflow/artifacts/models/m-1/artifacts", "/mlflow/artifacts/0"):
        expected = (tmp_path / new).as_uri() + place
        assert as_of_here(f"file://{old}{place}") == expected
        assert as_of_here(expected) == expected


@contextlib.contextmanager
def server_with_response(status: int, body: str, location: str | None = None):
    """Send the same response to every request; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            """Keep the requests out of the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


TOKEN, ADDRESS = "set MLFLOW_TRACKING_TOKEN, or", "check that MLFLOW_TRACKING_URI is the address of an MLflow server"


@pytest.mark.parametrize(
    ("status", "body", "location", "answered", "remedy"),
    [
        (401, "", None, "answered 401 (Unauthorized)", TOKEN),
        (401, '{"error_code": "UNAUTHENTICATED", "message": "who?"}', None, "answered 401", TOKEN),
        (401, '{"detail": "Not authenticated"}', None, "answered 401", TOKEN),
        (403, "no", None, "answered 403 (Forbidden)", "of someone who may write there"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', None, "answered 403", TOKEN),
        (404, "<html>nothing", None, "answered 404 (Not Found)", ADDRESS),
        (404, '{"detail": "Not Found"}', None, "answered 404", ADDRESS),
        (429, "slow down", None, "answered 429 (Too Many Requests)", "try again later"),
        (503, "", None, "answered 503 (Service Unavailable)", "try again later"),
        (304, "", None, "answered 304 (Not Modified)", ADDRESS),
        (302, "", "/login", "redirects in a circle", ADDRESS),
        (200, "<html>log in", None, "answered with a page that is not MLflow's", ADDRESS),
        (200, "<html>log in", None, "answered with a page that is not MLflow's", TOKEN),
    ],
)
def test_an_unusable_server_response_is_reported_with_a_remedy(
    store, monkeypatch, status, body, location, answered, remedy
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with server_with_response(status, body, location) as address:
        with pytest.raises(RegistryError) as raised, registry(address) as client:
            experiment_id(client, address, "films")
        message = str(raised.value)
        assert message.startswith(f"MLflow at {address} {answered}")
        assert remedy in message
        assert "\n" not in message
        assert find_fault(address) == message.removeprefix(f"MLflow at {address} ")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "/srv/mlflow"), ImportError("no boto3")])
def test_files_that_a_server_keeps_elsewhere_cannot_be_written_is_a_registry_error(error):
    with pytest.raises(RegistryError, match=r"^MLflow at http://host failed: .*--artifacts-destination$"):
        with registry("http://host"):
            raise error
    with pytest.raises(InputError, match="as it is"):
        with registry("http://host"):
            raise InputError("as it is")


def test_an_error_in_the_stores_own_registry_is_not_blamed_on_a_server(store):
    with pytest.raises(PermissionError):
        with registry(None):
            raise PermissionError(13, "Permission denied", "/srv/mlflow")
