"""Checkpoints: the last whole epochs of a training, to go on from after a crash, or for more epochs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks.core.files import flush, hash_file, remove_whole, replace_file
from tasks.core.locks import locked_if_free
from tasks.network.history import Epoch, best_epoch
from tasks.network.keras_files import save_model
from tasks.network.remote_checkpoint import FINISHED, SharedEpochs
from tasks.store.artifact import DamagedError, seal, unseal

if TYPE_CHECKING:
    import keras


class State(BaseModel):
    """Where training stands: the finished epochs and the files that hold the last and the best weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: list[Epoch]
    last: str
    best: str
    files: dict[str, str]


class Checkpoint:
    """A folder that holds the last two whole epochs, and the best one of each."""

    def __init__(self, folder: Path, shared: SharedEpochs | None = None) -> None:
        """Keep checkpoints in `folder`, and where several machines may train this, in what they share."""
        self.folder, self.shared = folder, shared

    def read(
        self, warn: Callable[[str], None], is_wanted: Callable[[list[Epoch]], bool] = lambda history: True
    ) -> State | None:
        """Return where training stands, or None where there is no whole checkpoint.

        Args:
            warn: told of each that cannot be used; the epoch before it may still be whole.
            is_wanted: tells of a state's epochs whether training may go on from there.
        """
        rotten = False
        if self.shared:
            self._bring(self.shared, warn)
        for path in sorted(self.folder.glob("epoch-*.json"), reverse=True):
            try:
                state = unseal(path, State)
                if is_wanted(state.history):
                    self._verify(state)
                    return state
            except DamagedError as damage:
                warn(f"{damage}; looking for the epoch before")
                rotten = True
        if rotten:
            warn(f"{self.folder}: holds no whole epoch to go on from; training begins anew")
        return None

    def _bring(self, shared: SharedEpochs, warn: Callable[[str], None]) -> None:
        """Fetch the last two epochs that another machine may have got further to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in shared.states()[:2]:
            draft = self.folder / f".{name}.draft"
            if (self.folder / name).exists() or not shared.take_state(name, draft):
                continue
            try:
                for file, sha256 in unseal(draft, State).files.items():
                    path = self.folder / file
                    if not path.is_file() or hash_file(path) != sha256:
                        shared.take_file(file, sha256, path)
                draft.replace(self.folder / name)
            except DamagedError as damage:
                warn(f"{damage}; looking for the epoch before")
                draft.unlink()

    def _verify(self, state: State) -> None:
        for name, sha256 in state.files.items():
            if not (self.folder / name).is_file() or hash_file(self.folder / name) != sha256:
                raise DamagedError(f"{self.folder / name}: missing or altered")

    def write(self, model: "keras.Model", history: list[Epoch]) -> State:
        """Keep `model`, with its optimizer, as the state after the last epoch of `history`.

        The state is written last and at once: a reader finds this epoch or the one before, whole.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        last, best = epoch_file(history[-1].epoch), epoch_file(best_epoch(history))
        save_model(model, self.folder / last)
        flush(self.folder / last)
        files = {name: hash_file(self.folder / name) for name in {last, best}}
        state = State(history=history, last=last, best=best, files=files)
        name = state_file(history[-1].epoch)
        replace_file(self.folder / name, seal(state))
        kept = self._keep(history, history[:-1])
        if self.shared:
            self.shared.write(self.folder, name, files, kept)
        return state

    def finish(self, warn: Callable[[str], None]) -> None:
        """Note that training is done: of what is kept, only the state after the last whole epoch stays.

        Args:
            warn: told of what cannot be used.
        """
        if state := self.read(warn):
            kept = self._keep(state.history)
            (self.folder / FINISHED).touch()
            if self.shared:
                self.shared.finish(state_file(state.history[-1].epoch), kept)

    def _keep(self, *histories: list[Epoch]) -> set[str]:
        """Remove all but the states after these epochs, and what they name; return the names of what stays."""
        kept = {
            name
            for history in histories
            if history
            for name in (state_file(history[-1].epoch), epoch_file(history[-1].epoch), epoch_file(best_epoch(history)))
        }
        for path in self.folder.glob("epoch-*"):
            if path.name not in kept:
                path.unlink()
        (self.folder / FINISHED).unlink(missing_ok=True)
        return kept


def keep_newest(place: Path, most: int, lock_of: Callable[[str], Path]) -> None:
    """Remove the checkpoints of finished trainings in `place`, but for the newest.

    Args:
        place: holds a folder for each training; those that are not finished stay.
        most: how many of the finished ones stay.
        lock_of: the lock of a folder, by its name; what another process holds stays.
    """
    finished = sorted(place.glob(f"*/{FINISHED}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in finished[most:]:
        with locked_if_free(lock_of(path.parent.name)) as free:
            if free and path.exists():
                remove_whole(path.parent)


def state_file(epoch: int) -> str:
    """Return the name of the file that holds where training stood after an epoch."""
    return f"epoch-{epoch:05d}.json"


def epoch_file(epoch: int) -> str:
    """Return the name of the file that holds the model after an epoch."""
    return f"epoch-{epoch:05d}.keras"
