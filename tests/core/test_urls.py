import pytest

from tasks.core.errors import RegistryError
from tasks.core.urls import has_password, printable_url
from tasks.registry.client import tracking_uri


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://me:secret@host/path", True),
        ("https://me@host", True),
        ("postgresql://me:se@cret@host/mlflow", True),
        ("https://me:pa/ss@host/path", True),
        ("postgresql://me:pa?ss@host/mlflow", True),
        ("postgresql://me:pa#ss@[::1]:5432/mlflow", True),
        ("postgresql://host/mlflow?user=me&password=secret", True),
        ("https://host/imdb.npz?Access_Token=secret", True),
        ("https://host?mail=me@home", False),
        ("https://[::1]:5000/me@home", False),
        ("https://host:5000/me@home", False),
        ("https://host:5000/path", False),
        ("https://host/someone@example.org", False),
        ("/data/me@home/imdb.npz", False),
        ("sqlite:////data/me@home/mlflow.db", False),
    ],
)
def test_a_password_is_found_before_the_host_and_nowhere_else(address, expected):
    assert has_password(address) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://hooks.example.org/T0/secret?token=secret", "https://hooks.example.org"),
        ("http://me:secret@127.0.0.1:8000/hook", "http://127.0.0.1:8000"),
        ("https://[::1]:8443/secret", "https://[::1]:8443"),
    ],
)
def test_of_a_secret_address_the_host_alone_is_shown(address, expected):
    assert printable_url(address) == expected


@pytest.mark.parametrize(
    "address", ["hooks.example.org/secret", "", "https://", "https://host:secret/", "https://[secret/"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match=r"no host|cannot be read") as raised:
        printable_url(address)
    assert "secret" not in str(raised.value)


def test_a_password_for_mlflow_is_refused_and_the_way_out_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org")
    with pytest.raises(RegistryError, match="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as raised:
        tracking_uri()
    assert "secret" not in str(raised.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert tracking_uri() == "https://mlflow.example.org"
