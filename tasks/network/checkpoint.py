"""Checkpoints: the last whole epochs of a training, to go on from after a crash, or for more epochs."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks.core.files import flush, hash_file, remove_whole, replace_file
from tasks.evaluation.result_files import Epoch, best_epoch
from tasks.network.keras_files import save_model
from tasks.network.remote_checkpoint import CHECKPOINTS, FINISHED, RemoteCheckpoint, remove_old_remote_trainings
from tasks.store.artifact import DamagedError, RelativeName, Resume, seal, unseal
from tasks.store.shared_store import SharedStore, open_store

if TYPE_CHECKING:
    import keras


class State(BaseModel):
    """The state of a training: the finished epochs and the files of the last and the best weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: list[Epoch]
    last: RelativeName
    best: RelativeName
    files: dict[RelativeName, str]


# A finished training's last epoch stays for a longer one to continue from: three to six times the network's size.
KEPT_TRAININGS = 3


class Checkpoint:
    """A folder with the last two complete epochs, and the best epoch up to each."""

    def __init__(self, folder: Path, remote: RemoteCheckpoint | None = None) -> None:
        """Keep epochs in `folder` and, if several machines may continue this training, in a bucket."""
        self.folder, self.remote = folder, remote

    def read(
        self, warn: Callable[[str], None], is_usable: Callable[[list[Epoch]], bool] = lambda history: True
    ) -> State | None:
        """Return the last complete epoch, or None if there is none.

        Args:
            warn: is called with each epoch that is damaged; the one before may be complete.
            is_usable: returns whether training may continue after these epochs.
        """
        is_damaged = False
        if self.remote:
            self._fetch(self.remote, warn)
        for path in sorted(self.folder.glob("epoch-*.json"), reverse=True):
            try:
                state = unseal(path, State)
                if is_usable(state.history):
                    self._verify(state)
                    return state
            except DamagedError as damage:
                warn(f"{damage}; trying the epoch before")
                is_damaged = True
        if is_damaged:
            warn(f"{self.folder}: holds no complete epoch; training starts from the beginning")
        return None

    def clear(self) -> None:
        """Remove all epochs."""
        if self.folder.exists():
            remove_whole(self.folder)
        if self.remote:
            self.remote.clear()

    def write(self, model: "keras.Model", history: list[Epoch], previous: State | None = None) -> State:
        """Save `model`, with its optimizer, as the state after the last epoch of `history`.

        The state file is written last and atomically: a reader finds this epoch or the one before, complete.

        `previous` is the state before this epoch, if this process wrote or verified it, which saves hashing its best.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        last, best = epoch_file(history[-1].epoch), epoch_file(best_epoch(history))
        save_model(model, self.folder / last)
        flush(self.folder / last)
        known = previous.files if previous else {}
        files = {
            name: known[name] if name != last and name in known else hash_file(self.folder / name)
            for name in {last, best}
        }
        state = State(history=history, last=last, best=best, files=files)
        name = state_file(history[-1].epoch)
        replace_file(self.folder / name, seal(state))
        kept = self._remove_earlier(history, history[:-1])
        if self.remote:
            self.remote.write(self.folder, name, files, kept)
        return state

    def finish(self, warn: Callable[[str], None]) -> None:
        """Mark the training as finished, and remove all epochs before the last one."""
        if state := self.read(warn):
            kept = self._remove_earlier(state.history)
            (self.folder / FINISHED).touch()
            if self.remote:
                self.remote.finish(state_file(state.history[-1].epoch), kept)

    def _fetch(self, remote: RemoteCheckpoint, warn: Callable[[str], None]) -> None:
        """Fetch the last two epochs from the bucket: another machine may have trained further."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in remote.states()[:2]:
            draft = self.folder / f".{name}.draft"
            if (self.folder / name).exists() or not remote.download_state(name, draft):
                continue
            try:
                for file, sha256 in unseal(draft, State).files.items():
                    path = self.folder / file
                    if not path.is_file() or hash_file(path) != sha256:
                        remote.download_file(file, sha256, path)
                draft.replace(self.folder / name)
            except DamagedError as damage:
                warn(f"{damage}; trying the epoch before")
                draft.unlink()

    def _verify(self, state: State) -> None:
        for name, sha256 in state.files.items():
            if not (self.folder / name).is_file() or hash_file(self.folder / name) != sha256:
                raise DamagedError(f"{self.folder / name}: missing or altered")

    def _remove_earlier(self, *histories: list[Epoch]) -> set[str]:
        """Remove the files of earlier epochs that the states after these histories do not need; return what is needed.

        Later epochs stay: they are a longer training's, which was interrupted.
        """
        needed = {
            name
            for history in histories
            if history
            for name in (state_file(history[-1].epoch), epoch_file(history[-1].epoch), epoch_file(best_epoch(history)))
        }
        for path in self.folder.glob("epoch-*"):
            if path.name not in needed and path.name < state_file(histories[0][-1].epoch):
                path.unlink()
        (self.folder / FINISHED).unlink(missing_ok=True)
        return needed


@contextlib.contextmanager
def resumable(resume: Resume, warn: Callable[[str], None]) -> Iterator[Checkpoint]:
    """Hold a training against other processes, and yield its checkpoint; on success keep only its last epoch.

    Of the finished trainings the newest stay, for longer ones to continue from.

    Args:
        resume: the training's key, and whether its epochs are ignored.
        warn: is called with each epoch that cannot be used.
    """
    store = open_store()
    bucket = store.bucket if isinstance(store, SharedStore) else None
    folder = store.root / CHECKPOINTS / resume.key
    with store.held(resume.key) as check:
        checkpoint = Checkpoint(folder, RemoteCheckpoint(bucket, resume.key, check) if bucket and check else None)
        if resume.ignored:
            checkpoint.clear()
        yield checkpoint
        checkpoint.finish(warn)
    remove_old_trainings(
        folder.parent, lambda name: store.locked(f"{folder.parent.name}/{name}", wait=False), KEPT_TRAININGS
    )
    if bucket:
        remove_old_remote_trainings(bucket, folder.parent.name, KEPT_TRAININGS, partial(store.held, wait=False))


def remove_old_trainings(place: Path, locked: Callable[[str], AbstractContextManager[bool]], most: int) -> None:
    """Remove the checkpoints of finished trainings in `place`, except the newest.

    `most` finished ones stay, and those that another process holds by `locked`, the lock of a folder by its name.
    """
    finished = sorted(place.glob(f"*/{FINISHED}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in finished[most:]:
        with locked(path.parent.name) as is_held:
            if is_held and path.exists():
                remove_whole(path.parent)


def state_file(epoch: int) -> str:
    """Return the name of the file that holds where training stood after an epoch."""
    return f"epoch-{epoch:05d}.json"


def epoch_file(epoch: int) -> str:
    """Return the name of the file that holds the model after an epoch."""
    return f"epoch-{epoch:05d}.keras"
