import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.exceptions import MlflowException

from tasks.core.errors import InputError, RegistryError
from tasks.registry.client import experiment_id, registry, tracking_uri
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


@pytest.mark.parametrize("address", ["localhost:5000", "mlflow.example.org/at", "./mlruns", "file:///x", "tests"])
def test_an_unusable_mlflow_address_is_refused_with_a_remedy(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(RegistryError, match="expected http://HOST:PORT of a server, or sqlite:///PATH") as raised:
        tracking_uri()
    assert f"MLFLOW_TRACKING_URI={address}: " in str(raised.value)


def test_a_database_without_its_driver_is_a_registry_error_with_a_remedy():
    with pytest.raises(RegistryError, match=r"No module named 'pymssql'.* Install the package that is missing"):
        with registry("mssql+pymssql://host/mlflow"):
            pass


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "sqlite:///a.db", "postgresql+psycopg2://host/a"])
def test_a_valid_mlflow_address_is_accepted(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
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


@pytest.mark.parametrize(
    ("status", "body", "location", "reason"),
    [
        (401, "", None, "failed with error code 401"),
        (401, '{"error_code": "UNAUTHENTICATED", "message": "who?"}', None, "UNAUTHENTICATED: who?"),
        (401, '{"detail": "Not authenticated"}', None, "Not authenticated"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', None, "PERMISSION_DENIED: no"),
        (404, "<html>nothing", None, "failed with error code 404"),
        (429, "slow down", None, "429"),
        (503, "", None, "503"),
        (302, "", "/login", "Exceeded 30 redirects"),
        (200, "<html>log in", None, "not in a valid JSON format"),
    ],
)
def test_an_unusable_server_response_is_reported_with_a_remedy(store, monkeypatch, status, body, location, reason):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with server_with_response(status, body, location) as address:
        with pytest.raises(RegistryError) as raised, registry(address) as client:
            experiment_id(client, address, "films")
    message = str(raised.value)
    assert message.startswith(f"MLflow at {address} failed: ")
    assert reason in message
    assert "check that MLFLOW_TRACKING_URI is the address of an MLflow server" in message
    assert "set MLFLOW_TRACKING_TOKEN, or" in message
    assert "\n" not in message


def test_an_error_of_a_database_is_not_blamed_on_a_server(store):
    with pytest.raises(RegistryError, match=r"then run 'mlflow db upgrade'$"):
        with registry(None):
            raise MlflowException("the schema is old; then run 'mlflow db upgrade'")


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
