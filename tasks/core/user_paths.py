"""Paths and URLs that the user names: whether they can be written to, stored and printed."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl

from tasks.core.errors import InputError

SECRET_KEYS = ("password", "passwd", "pwd", "sslpassword", "token", "access_token", "api_key", "apikey", "secret",
               "sig", "signature", "x-amz-signature", "x-goog-signature", "x-amz-security-token")  # fmt: skip


def user_path(text: str) -> Path:
    """Return the path that a person typed; ~ stands for a home folder if that exists."""
    return Path(os.path.expanduser(text))


def printable(name: str) -> str:
    """Return a name with bytes of another encoding escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_relative(name: str) -> str:
    """Return the name of a file from a record that another machine may have written, if it stays below its folder.

    Raises:
        ValueError: it is absolute, or has `..`, `.`, a backslash or an empty part.
    """
    if {"", ".", ".."} & set(name.split("/")) or {"\\", "\0"} & set(name):
        raise ValueError(f"{name!r} is not a relative path of plain names")
    return name


def check_writable(place: Path) -> None:
    """Raise InputError if a file or folder cannot be made at `place`; the folders above it need not exist yet."""
    standing = next(path for path in (place.absolute(), *place.absolute().parents) if os.path.exists(path))
    if standing != place.absolute() and not standing.is_dir():
        raise InputError(f"{place}: cannot be written, because {standing} is a file; name another place with --output")
    folder = standing if standing.is_dir() else standing.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: no right to write here; change its mode or name another place with --output")


def has_password(address: str) -> bool:
    """Return whether an address has a user before its host, even if the password has a slash, or a secret in its query.

    The colon of host:5000/me@home precedes a port; that of me:pa/ss@host does not.
    """
    _scheme, mark, rest = address.partition("://")
    host = re.split("[/?#]", rest)[0]
    port = host.rpartition("]")[2].partition(":")[2]
    if not mark or "@" in host or ("@" in rest and port and not port.isdecimal()):
        return bool(mark)
    queries = rest.partition("?")[2].replace("#", "&")
    return any(key.lower() in SECRET_KEYS for key, _value in parse_qsl(queries, keep_blank_values=True))


def sqlite_address(path: Path) -> str:
    """Return the URL of a database, with special characters quoted.

    It names the driver: without one, MLflow takes the quoted path literally and makes a folder of that name.
    """
    from sqlalchemy.engine import URL

    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string(hide_password=False)
