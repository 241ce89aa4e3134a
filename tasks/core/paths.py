"""Places that the user names: the path that is meant, and whether it can be written to, asked before any work."""

import os
from pathlib import Path

from tasks.core.errors import InputError


def user_path(text: str) -> Path:
    """Return the path that a person typed, ~ for a home folder; where no such home is known, ~ is a name like any."""
    return Path(os.path.expanduser(text))


def printable(name: str) -> str:
    """Return a name that may hold bytes of another encoding in letters that every file and server takes."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_writable(place: Path) -> None:
    """Refuse a place below a file, or one that we may not write to.

    Args:
        place: a file or folder to be; it and the folders above it need not exist yet.

    Raises:
        InputError: naming what stands in the way.
    """
    try:
        standing = next(path for path in (place.absolute(), *place.absolute().parents) if exists_or_refuse(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(place)!r}: no file can have this name ({error}); name another with --output") from error
    if standing != place.absolute() and not standing.is_dir():
        raise InputError(f"{place}: cannot be written, since {standing} is a file; name another place with --output")
    folder = standing if standing.is_dir() else standing.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: no right to write here; mend its mode or name another place with --output")


def exists_or_refuse(path: Path) -> bool:
    """Tell whether something is there; unlike Path.exists, refuse a name that nothing can have."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_same(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to the same file or folder, by whatever names and links."""
    return one.exists() and other.exists() and one.samefile(other)
