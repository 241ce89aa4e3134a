import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError, RegistryError
from tasks.core.user_paths import check_relative, check_writable, has_password, user_path
from tasks.registry.client import tracking_uri


def test_a_path_in_folders_that_do_not_exist_yet_is_writable(tmp_path, monkeypatch):
    check_writable(tmp_path / "a" / "b" / "scores.parquet")
    monkeypatch.chdir(tmp_path)
    check_writable(tmp_path.relative_to(tmp_path) / "scores.parquet")
    assert not list(tmp_path.iterdir())


def test_the_error_of_a_path_below_a_file_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=rf"scores: cannot be written, because {tmp_path / 'file'} is a file"):
        check_writable(tmp_path / "file" / "scores")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_reported(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=f"{tmp_path}: no right to write here"):
        check_writable(tmp_path / "scores")


def test_a_tilde_is_expanded_only_if_the_user_exists(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(user_path("~/reviews.csv")) == "/home/me/reviews.csv"
    assert str(user_path("~nobody-of-this-name/a.csv")) == "~nobody-of-this-name/a.csv"


parts = st.text("ab.-_ ü", min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))


@given(
    st.lists(parts, min_size=1, max_size=4), st.sampled_from(["..", ".", "", "a\\b", "..\\", "\0"]), st.integers(0, 4)
)
def test_a_relative_path_cannot_leave_its_folder(plain, bad, place):
    name = "/".join(plain)
    assert check_relative(name) == name
    assert Path("/folder", name).resolve().is_relative_to("/folder")
    with pytest.raises(ValueError, match="is not a relative path"):
        check_relative("/".join([*plain[:place], bad, *plain[place:]]))


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
def test_passwords_in_addresses_are_detected(address, expected):
    assert has_password(address) is expected


def test_a_password_in_mlflows_address_is_refused_with_the_alternative(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org")
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as raised:
        tracking_uri()
    assert "secret" not in str(raised.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert tracking_uri() == "https://mlflow.example.org"
