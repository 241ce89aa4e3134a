"""Fetching: one file from http(s), file:// or a path, streamed, with limits and a checked hash."""

import hashlib
import netrc
import os
import shutil
import time
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import DownloadColumn, Progress

from tasks.core.errors import SourceError, SourceUnreachable
from tasks.core.user_paths import user_path

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT, TIMEOUT = 5, 30  # seconds
MAX_SECONDS = 3600
MAX_BYTES = 1 << 30  # if the server declares fewer or no number


def fetch(source: str, target: Path, *, expected: str | None = None) -> None:
    """Copy `source`, an http(s) or file:// address or a path, to `target`, or leave no file if that fails.

    `expected` is the sha256 or md5 in hex; None accepts any content.

    Raises:
        SourceUnreachable: no connection, a time-out, a 5xx response or a short body; retrying may help.
        SourceError: retrying will not help: no such file, another hash, too many bytes.
    """
    try:
        if is_remote(source):
            fetch_over_http(source, target)
        else:
            copy_local(local_path(source), target)
        if expected:
            check_hash(target, source, expected)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def is_remote(source: str) -> bool:
    """Return whether a source is fetched over http or https."""
    return urllib.parse.urlsplit(source).scheme in ("http", "https")


def local_path(source: str) -> Path:
    """Return the path of a file:// address or a plain path, or refuse another scheme."""
    parts = urllib.parse.urlsplit(source)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if "://" in source:
        raise SourceError(f"{source}: cannot read {parts.scheme}://; use http(s)://, file:// or a path")
    return user_path(source)


def next_to(source: str, name: str) -> str:
    """Return the address of a file in the folder of `source`."""
    if "://" in source:
        return urllib.parse.urljoin(source, name)
    return str(user_path(source).parent / name)


def copy_local(path: Path, target: Path) -> None:
    """Copy a local file."""
    try:
        shutil.copyfile(path, target)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename and Path(error.filename) == target:
            raise
        raise SourceError(f"{path}: cannot read this file ({error.strerror}); check the path") from error


def fetch_over_http(url: str, target: Path) -> None:
    """Stream `url` to `target`."""
    import httpx

    try:
        client = httpx.Client(
            timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
            follow_redirects=True,
            auth=netrc_auth(),
            event_hooks={"request": [partial(refuse_downgrade, url)]},
        )
        with client, client.stream("GET", url) as response:
            if response.status_code >= 500 or response.status_code == 429:
                raise SourceUnreachable(f"{url}: the server responded with {response.status_code}; try again later")
            if response.status_code >= 400:
                raise SourceError(f"{url}: the server responded with {response.status_code}; check the address")
            write_stream(response, url, target)
    except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: {error}; check the address") from error
    except httpx.HTTPError as error:
        # Connection errors, time-outs and truncated bodies.
        reason = str(error) or type(error).__name__
        raise SourceUnreachable(f"{url}: cannot be fetched ({reason})") from error


def refuse_downgrade(url: str, request: "httpx.Request") -> None:
    """Refuse to follow an https address to one that is not encrypted."""
    if url.lower().startswith("https://") and request.url.scheme != "https":
        raise SourceError(f"{url}: redirects to {request.url.scheme}://{request.url.host}, which is not encrypted")


def netrc_auth() -> "httpx.Auth | None":
    """Return the passwords in $NETRC, by default ~/.netrc, or None without such a file."""
    import httpx

    path = user_path(os.environ.get("NETRC") or "~/.netrc")
    try:
        return httpx.NetRCAuth(str(path)) if path.is_file() else None
    except netrc.NetrcParseError as error:
        # Its message quotes the line, which may hold a password.
        raise SourceError(f"{path}: line {error.lineno} is not valid in a .netrc file; fix it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); fix it, or name another file with NETRC") from error


def write_stream(response: "httpx.Response", url: str, target: Path) -> None:
    """Write a response's body to `target`, if the disk and the time suffice, with a progress bar in a terminal."""
    length = response.headers.get("Content-Length", "")
    declared = int(length) if length.isdecimal() else None
    require_space(url, declared or 0, target.parent)
    started, written, console = time.monotonic(), 0, Console(stderr=True)
    columns = *Progress.get_default_columns(), DownloadColumn()
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with target.open("wb") as file, progress:
        bar = progress.add_task(target.name, total=declared)
        for chunk in response.iter_bytes():
            written += len(chunk)
            if written > max(declared or 0, MAX_BYTES):
                raise SourceError(
                    f"{url}: more than {MAX_BYTES} bytes, and the server has not declared so many; download the file "
                    "and give its path"
                )
            if time.monotonic() - started > MAX_SECONDS:
                raise SourceUnreachable(f"{url}: incomplete after {MAX_SECONDS} s; try a nearer mirror")
            file.write(chunk)
            progress.update(bar, completed=written)


def require_space(address: str, size: int, folder: Path) -> None:
    """Refuse to copy more bytes than the disk of `folder` has space for."""
    if size > (free := shutil.disk_usage(folder).free):
        raise SourceError(
            f"{address}: has {size:,} bytes, but the disk of {folder} has space for {free:,}; free space, or name "
            "another store with --store"
        )


def check_hash(path: Path, source: str, expected: str) -> None:
    """Compare a file's hash with the expected one, an md5 of 32 digits or a sha256."""
    algorithm = "md5" if len(expected) == 32 else "sha256"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected.lower():
        raise SourceError(
            f"{source}: {algorithm} is {found}, expected {expected.lower()}; the file was not opened. "
            "If you trust it, give its hash: --data.sha256 HEX (a word index's: --data.word-index-sha256 HEX)"
        )
