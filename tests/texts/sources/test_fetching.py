import hashlib
import shutil
import socket

import httpx
import pytest

from tasks.core.errors import SourceError, SourceUnreachable
from tasks.texts.sources import fetching
from tasks.texts.sources.fetching import fetch, local_path, next_to, refuse_downgrade
from tests.support.web import serving

CONTENT = b"reviews" * 50_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "imdb.npz").write_bytes(CONTENT)
    with serving(folder) as (url, _seen):
        yield url


def test_a_file_with_the_expected_hash_is_fetched_over_http(mirror, tmp_path):
    fetch(f"{mirror}/plain/imdb.npz", tmp_path / "got", expected=SHA256)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_file_is_fetched_from_a_path_or_a_file_url(tmp_path):
    (tmp_path / "imdb.npz").write_bytes(CONTENT)
    for number, source in enumerate([str(tmp_path / "imdb.npz"), (tmp_path / "imdb.npz").as_uri()]):
        fetch(source, tmp_path / str(number), expected=SHA256.upper())
        assert (tmp_path / str(number)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        ("broken", SourceUnreachable, "responded with 500; try again later"),
        ("short", SourceUnreachable, "cannot be fetched"),
        ("gone", SourceError, "responded with 404; check the address"),
        ("reversed", SourceError, f"expected {SHA256}; the file was not opened"),
        ("redirect", SourceError, "check the address"),
        ("unlimited", SourceUnreachable, "cannot be fetched"),
    ],
)
def test_a_failed_download_is_explained_and_leaves_no_file(mirror, tmp_path, behaviour, error, message):
    with pytest.raises(error, match=message) as raised:
        fetch(f"{mirror}/{behaviour}/imdb.npz", tmp_path / "got", expected=SHA256)
    assert type(raised.value) is error
    assert not (tmp_path / "got").exists()


def test_a_refused_connection_raises_source_unreachable(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SourceUnreachable, match="cannot be fetched"):
            fetch(f"http://127.0.0.1:{port}/imdb.npz", tmp_path / "got")


def test_an_undeclared_body_over_the_size_limit_is_refused(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_BYTES", 100_000)
    fetch(f"{mirror}/plain/imdb.npz", tmp_path / "got", expected=SHA256)
    with pytest.raises(SourceError, match="more than 100000 bytes, and the server has not declared so many"):
        fetch(f"{mirror}/undeclared/imdb.npz", tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_file_too_large_for_the_disk_is_refused(mirror, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=349_999))
    with pytest.raises(SourceError, match=r"has 350,000 bytes, but the disk of .* has space for 349,999; free space"):
        fetch(f"{mirror}/plain/imdb.npz", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=350_000))
    fetch(f"{mirror}/plain/imdb.npz", tmp_path / "got", expected=SHA256)


def test_a_missing_local_file_is_reported_by_name(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere\.npz: cannot read this file"):
        fetch(str(tmp_path / "nowhere.npz"), tmp_path / "got")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(SourceError, match="cannot read ftp://"):
        local_path("ftp://host/imdb.npz")


def test_the_word_index_is_expected_next_to_the_arrays():
    assert next_to("http://host/a/imdb.npz", "index.json") == "http://host/a/index.json"
    assert next_to("/data/imdb.npz", "index.json") == "/data/index.json"


def test_a_stalled_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(SourceUnreachable, match=r"cannot be fetched \(timed out\)"):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/imdb.npz", tmp_path / "got")


def test_a_download_over_the_time_limit_fails(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_SECONDS", 0.0)
    with pytest.raises(SourceUnreachable, match=r"incomplete after 0.0 s; try a nearer mirror"):
        fetch(f"{mirror}/plain/imdb.npz", tmp_path / "got")


def test_passwords_are_read_from_netrc(mirror, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch(f"{mirror}/locked/imdb.npz", tmp_path / "got", expected=SHA256)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(SourceError, match="responded with 401"):
        fetch(f"{mirror}/locked/imdb.npz", tmp_path / "got", expected=SHA256)


def test_redirects_from_https_to_http_are_refused():
    refuse_downgrade("http://a.org/x", httpx.Request("GET", "http://b.org/x"))
    refuse_downgrade("https://a.org/x", httpx.Request("GET", "https://b.org/x"))
    with pytest.raises(SourceError, match=r"redirects to http://b\.org, which is not encrypted"):
        refuse_downgrade("https://a.org/x", httpx.Request("GET", "http://b.org/x?key=1"))


def test_every_request_is_checked_for_a_downgrade_to_http_before_it_is_sent(tmp_path, monkeypatch):
    """The server has no certificate, so this checks only that each request reaches `refuse_downgrade`."""
    (tmp_path / "imdb.npz").write_bytes(CONTENT)
    checked = []
    with serving(tmp_path) as (address, seen):

        def check(url, request):
            checked.append((url, str(request.url), seen.total()))

        monkeypatch.setattr(fetching, "refuse_downgrade", check)
        moved, plain = (f"{address}/{way}/imdb.npz" for way in ("moved", "plain"))
        fetch(moved, tmp_path / "got", expected=SHA256)
    assert checked == [(moved, moved, 0), (moved, plain, 1)]


@pytest.mark.parametrize("content", [b"machine 127.0.0.1 logn me password secret\n", b"\xff\xfe"])
def test_an_invalid_netrc_is_reported_without_its_content(mirror, tmp_path, monkeypatch, content):
    (tmp_path / "netrc").write_bytes(content)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(SourceError, match="netrc: ") as raised:
        fetch(f"{mirror}/plain/imdb.npz", tmp_path / "got")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
