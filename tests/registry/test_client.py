import pytest

from tasks.core.errors import RegistryError
from tasks.registry.client import experiment_id, registry, tracking_uri
from tasks.registry.mlflow_sqlite import as_of_here


@pytest.fixture
def client(store):
    with registry(None) as client:
        yield client


def test_an_experiment_that_another_store_makes_meanwhile_is_taken(client, monkeypatch):
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
        ("mysql+no_such_driver://host/mlflow", "mysql+no_such_driver:// is not known"),
        ("mssql+pymssql://host/mlflow", "mssql+pymssql:// needs the package pymssql: pip install pymssql"),
    ],
)
def test_an_address_that_mlflow_cannot_use_is_refused_with_a_remedy(monkeypatch, address, line):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(RegistryError) as raised:
        tracking_uri()
    assert line in str(raised.value)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:5000", "./mlruns", "/data/mlruns", "file:///x", "sqlite:///a.db", "tests"]
)
def test_an_address_that_mlflow_can_use_is_accepted(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert tracking_uri() == address


@pytest.mark.parametrize("old", ["/elsewhere", "/a/mlflow/artifacts/b", "/mlflow/artifacts", "/mlflow/artifacts2/x"])
@pytest.mark.parametrize("new", ["s", "mlflow/artifacts/s", "mlflow/artifacts"])
def test_the_address_of_a_file_in_a_moved_store_is_below_the_store(monkeypatch, tmp_path, old, new):
    monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path / new))
    for place in ("/mlflow/artifacts/0/run/artifacts", "/mlflow/artifacts/models/m-1/artifacts", "/mlflow/artifacts/0"):
        expected = (tmp_path / new).as_uri() + place
        assert as_of_here(f"file://{old}{place}") == expected
        assert as_of_here(expected) == expected
