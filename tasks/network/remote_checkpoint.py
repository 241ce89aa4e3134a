"""Remote checkpoint: the epochs of a training in a bucket, so that another machine can continue it."""

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tasks.core.files import hash_file
from tasks.store.artifact import DamagedError
from tasks.store.bucket import Bucket

CHECKPOINTS = "checkpoints"
FINISHED = "finished"
STATE_NAME = re.compile(r"epoch-\d+\.json")


class RemoteCheckpoint:
    """The states and files of one training.

    A file's name ends in its sha256, so it is never overwritten by other bytes, and a state is written after its files.
    If a lost lease lets two machines train at the same time, each writes its own complete epochs.
    """

    def __init__(self, bucket: Bucket, key: str, check: Callable[[], None] = lambda: None) -> None:
        """Keep the epochs of the training `key`; `check` is called before each write and raises on a lost lease."""
        self.bucket, self.place, self.check = bucket, f"{CHECKPOINTS}/{key}", check

    def states(self) -> list[str]:
        """Return the names of the states, the newest epoch first."""
        return sorted((name for name in self._names() if STATE_NAME.fullmatch(name)), reverse=True)

    def download_state(self, name: str, path: Path) -> bool:
        """Write a state to `path`, and return whether there was one."""
        return self.bucket.download(f"{self.place}/{name}", path)

    def download_file(self, name: str, sha256: str, path: Path) -> None:
        """Write one of the files that a state names to `path`.

        Raises:
            DamagedError: it is missing or altered.
        """
        if not self.bucket.download(self._file(name, sha256), path) or hash_file(path) != sha256:
            path.unlink(missing_ok=True)
            raise DamagedError(f"{self.bucket.where(self._file(name, sha256))}: missing or altered")

    def write(self, folder: Path, state: str, files: Mapping[str, str], kept: Collection[str]) -> None:
        """Upload a state and its files from `folder`.

        `files` has the sha256 of its files; of earlier epochs only the states and files in `kept` stay.

        Raises:
            LeaseLostError: another machine has taken over.
        """
        self.check()
        for name, sha256 in files.items():
            if not self.bucket.has(self._file(name, sha256), (folder / name).stat().st_size):
                self.bucket.upload(folder / name, self._file(name, sha256))
        self.check()
        self.bucket.upload(folder / state, f"{self.place}/{state}")
        self.check()
        self._remove_earlier(state, kept)
        self.bucket.remove(f"{self.place}/{FINISHED}")

    def finish(self, state: str, kept: Collection[str]) -> None:
        """Mark the training as finished after `state`; of the epochs before it, only the files in `kept` stay."""
        self._remove_earlier(state, kept)
        self.bucket.create(f"{self.place}/{FINISHED}", b"")

    def clear(self) -> None:
        """Remove all epochs."""
        self.check()
        for name in sorted(self._names(), key=lambda name: not name.endswith(".json")):
            self.bucket.remove(f"{self.place}/{name}")

    def _remove_earlier(self, state: str, kept: Collection[str]) -> None:
        for name in self._names():
            if name < state and epoch_part(name) not in kept:
                self.bucket.remove(f"{self.place}/{name}")

    def _names(self) -> list[str]:
        return [name.removeprefix(f"{self.place}/") for name in self.bucket.names(self.place)]

    def _file(self, name: str, sha256: str) -> str:
        return f"{self.place}/{name}.{sha256}"


def epoch_part(name: str) -> str:
    """Return the local name of a file: without its sha256."""
    stem, _, last = name.rpartition(".")
    return stem if len(last) == 64 else name


def remove_old_remote_trainings(
    bucket: Bucket, step: str, most: int, held: Callable[[str], AbstractContextManager[Any]]
) -> None:
    """Remove the epochs of finished trainings in a bucket, except the newest.

    `most` finished ones stay, and those that another process holds, for which `held` yields None.
    """
    found = bucket.names(f"{CHECKPOINTS}/{step}")
    finished = sorted((when, name) for name, when in found.items() if name.endswith(f"/{FINISHED}"))
    for _when, mark in finished[: max(0, len(finished) - most)]:
        place = mark.removesuffix(f"/{FINISHED}")
        with held(place.removeprefix(f"{CHECKPOINTS}/")) as is_held:
            if is_held and bucket.tag(mark):
                # States go before their files, and the mark last: if this is interrupted, it is done again.
                own = (name for name in found if name.startswith(f"{place}/"))
                for name in sorted(own, key=lambda name: (name == mark, not name.endswith(".json"), name)):
                    bucket.remove(name)
