"""Shared epochs: where a training stands, in a bucket, so that another machine can go on with it."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tasks.core.files import hash_file
from tasks.store.artifact import DamagedError
from tasks.store.bucket import Bucket

PLACE = "checkpoints"
FINISHED = "finished"


class SharedEpochs:
    """The states and files of one training.

    A file's name there ends in its sha256, so nobody ever writes other bytes over it; a state is written when its files
    are there. Two that train the same at once, which a lost lease may bring about, each write their own epochs whole.
    """

    def __init__(self, bucket: Bucket, key: str, check: Callable[[], None] = lambda: None) -> None:
        """Share the epochs of the training `key`; `check` is called before each write, and raises if we may not."""
        self.bucket, self.place, self.check = bucket, f"{PLACE}/{key}", check

    def held_by(self, check: Callable[[], None]) -> "SharedEpochs":
        """Return the same epochs for one that holds them, as `check` tells."""
        return SharedEpochs(self.bucket, self.place.removeprefix(f"{PLACE}/"), check)

    def states(self) -> list[str]:
        """Return the names of the states, the newest epoch first."""
        return sorted((name for name in self._names() if name.endswith(".json")), reverse=True)

    def take_state(self, name: str, path: Path) -> bool:
        """Write a state to `path`, and tell whether there was one."""
        return self.bucket.download(f"{self.place}/{name}", path)

    def take_file(self, name: str, sha256: str, path: Path) -> None:
        """Write one of the files that a state names to `path`.

        Raises:
            RotError: it is missing or altered.
        """
        if not self.bucket.download(self._file(name, sha256), path) or hash_file(path) != sha256:
            path.unlink(missing_ok=True)
            raise DamagedError(f"{self.bucket.where(self._file(name, sha256))}: missing or altered")

    def write(self, folder: Path, state: str, files: Mapping[str, str], kept: Collection[str]) -> None:
        """Share what stands in `folder`.

        Args:
            folder: holds the state and its files.
            state: the state's name.
            files: the sha256 of the files that it names.
            kept: the names of all states and files that stay; what is of an earlier epoch and not among them goes.

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
        """Note that training is done after `state`; of all before it only what is among `kept` stays."""
        self._remove_earlier(state, kept)
        self.bucket.create(f"{self.place}/{FINISHED}", b"")

    def _remove_earlier(self, state: str, kept: Collection[str]) -> None:
        for name in self._names():
            if name < state and epoch_part(name) not in kept:
                self.bucket.remove(f"{self.place}/{name}")

    def _names(self) -> list[str]:
        return [name.removeprefix(f"{self.place}/") for name in self.bucket.names(self.place)]

    def _file(self, name: str, sha256: str) -> str:
        return f"{self.place}/{name}.{sha256}"


def epoch_part(name: str) -> str:
    """Return the name that a shared file has in a folder: without its sha256."""
    stem, _, last = name.rpartition(".")
    return stem if len(last) == 64 else name


def keep_newest_shared(
    bucket: Bucket, step: str, most: int, held_if_free: Callable[[str], AbstractContextManager[bool]]
) -> None:
    """Remove the epochs of finished trainings that a bucket holds, but for the newest.

    Args:
        bucket: that is shared.
        step: whose trainings.
        most: how many of the finished ones stay.
        held_if_free: holds a training, by its key, unless another does.
    """
    found = bucket.names(f"{PLACE}/{step}")
    finished = sorted((when, name) for name, when in found.items() if name.endswith(f"/{FINISHED}"))
    for _when, mark in finished[: max(0, len(finished) - most)]:
        place = mark.removesuffix(f"/{FINISHED}")
        with held_if_free(place.removeprefix(f"{PLACE}/")) as free:
            if free and bucket.tag(mark):
                # What names others goes before them, and the mark last: cut short, it is done again.
                own = (name for name in found if name.startswith(f"{place}/"))
                for name in sorted(own, key=lambda name: (name == mark, not name.endswith(".json"), name)):
                    bucket.remove(name)
