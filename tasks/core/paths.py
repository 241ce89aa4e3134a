"""Paths that the user names, and whether they can be written to."""

import os
from pathlib import Path

from tasks.core.errors import InputError


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
    try:
        standing = next(path for path in (place.absolute(), *place.absolute().parents) if exists_or_refuse(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(place)!r}: no file can have this name ({error}); name another with --output") from error
    if standing != place.absolute() and not standing.is_dir():
        raise InputError(f"{place}: cannot be written, because {standing} is a file; name another place with --output")
    folder = standing if standing.is_dir() else standing.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: no right to write here; change its mode or name another place with --output")


def exists_or_refuse(path: Path) -> bool:
    """Return whether a path exists; unlike Path.exists, raise an error for an impossible name."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file or folder."""
    return one.exists() and other.exists() and one.samefile(other)
