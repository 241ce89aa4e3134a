"""URLs: which part of them may be stored and printed. A password in one would end up in every file of a run."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

SECRET_KEYS = ("password", "passwd", "pwd", "sslpassword", "token", "access_token", "api_key", "apikey", "secret")


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


def printable_url(address: str) -> str:
    """Return scheme, host and port of an address, which may be printed if the path is a secret.

    Raises:
        ValueError: it has no scheme and host, or its port is not a number. The message does not quote it.
    """
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ValueError("its host or port cannot be read") from None  # the reason would quote it
    if not parts.scheme or not parts.hostname:
        raise ValueError("it has no host; https:// and a host come first")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def sqlite_address(path: Path) -> str:
    """Return the URL of a database, with special characters quoted.

    It names the driver: without one, MLflow takes the quoted path literally and makes a folder of that name.
    """
    from sqlalchemy.engine import URL

    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string(hide_password=False)
