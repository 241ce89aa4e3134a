"""Newest: folders named by the time at which they were written, whole, and the link to the newest of them."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tasks.core.files import naming_the_place, stamped, sweep, written_whole

UNFINISHED_SECONDS = 3600  # no such folder takes so long to write


@contextlib.contextmanager
def written_as_newest(place: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """Give an empty folder to fill and where it will stand, `<place>/<UTC time>-<name>`; then `latest` points to it.

    Drafts that killed runs left are removed; a draft of this very hour may be of a run beside this one.

    Raises:
        StoreError: the place cannot be written.
    """
    with naming_the_place(place):
        sweep(place, time.time() - UNFINISHED_SECONDS)
        final = place / stamped(name)
        with written_whole(final) as draft:
            yield draft, final
        point_to(final, place / "latest")


def point_to(folder: Path, link: Path) -> None:
    """Make `link` a symbolic link to its neighbour `folder`, in one step."""
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder.name)
    draft.replace(link)
