"""URLs: which part of them may be stored and printed. A password in one would end up in every file of a run."""

from pathlib import Path
from urllib.parse import urlsplit


def has_password(address: str) -> bool:
    """Return whether an address names a user, with or without a password, before its host."""
    _scheme, mark, rest = address.partition("://")
    return bool(mark) and "@" in rest.partition("/")[0]


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
