"""Checkpoints: the last whole epochs of a training, to go on from after a crash, or for more epochs.

    epoch-00003.<sha256>.keras     the model, with its optimizer, after epoch 3
    epoch-00003.json               `State`: the epochs until then, and the files of the last and the best weights
    finished                       the training has ended

With a shared store, a bucket holds the same files under the same names, so that another machine can go on.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

from tasks.core.files import flush, hash_file, remove_whole, replace_file
from tasks.core.layout import CHECKPOINTS
from tasks.evaluation.training_history import Epoch, best_epoch
from tasks.network.keras_files import save_model
from tasks.store.artifact import DamagedError, RelativeName, Resume, seal, unseal
from tasks.store.bucket import Bucket
from tasks.store.shared_store import SharedStore, open_store
from tasks.store.store import Store

if TYPE_CHECKING:
    import keras

FINISHED = "finished"
STATE_NAME = re.compile(r"epoch-\d+\.json")
# A finished training's last epoch stays for a longer one to continue from: three to six times the network's size.
KEPT_TRAININGS = 3
Content = TypeVar("Content")


class State(BaseModel):
    """The state of a training: the finished epochs, and the files of the last and the best weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: list[Epoch]
    last: RelativeName
    best: RelativeName

    @property
    def name(self) -> str:
        """The name of its own file."""
        return f"epoch-{self.history[-1].epoch:05d}.json"


class Checkpoint:
    """The last two complete epochs, and the best epoch up to each, in a folder and perhaps in a bucket.

    A file of weights has its sha256 in its name, so other bytes never overwrite it, and a state is written after
    its files. If a lost lease lets two machines train at the same time, each writes its own complete epochs.

    Attributes:
        state: after the epoch that was read or written last; None before the first.
    """

    def __init__(self, folder: Path, bucket: Bucket | None = None, check: Callable[[], None] = lambda: None) -> None:
        """Keep epochs in `folder` and in `bucket`; `check` is called before writes there and raises on a lost lease."""
        self.folder, self.bucket, self.check = folder, bucket, check
        self.state: State | None = None

    def read(
        self, warn: Callable[[str], None], is_usable: Callable[[State], bool] = lambda state: True
    ) -> State | None:
        """Return the last complete epoch after which training may continue, as `is_usable` says; None if there is none.

        `warn` is called with each epoch that is damaged; the one before may be complete.
        """
        is_damaged, self.state = False, None
        for name in self._state_names():
            try:
                state = self._fetch(name, lambda path: unseal(path, State))
                if is_usable(state):
                    for file in (state.last, state.best):
                        self._fetch(file, verify)
                    self.state = state
                    return state
            except DamagedError as damage:
                warn(f"{damage}; trying the epoch before")
                is_damaged = True
        if is_damaged:
            warn(f"{self.folder}: holds no complete epoch; training starts from the beginning")
        return None

    def write(self, model: "keras.Model", epoch: Epoch) -> State:
        """Save `model`, with its optimizer, as the state after one more epoch.

        The state file is written last and atomically: a reader finds this epoch or the one before, complete.
        Raise LeaseLostError if another machine has taken over.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.state
        history, last = [*(before.history if before else []), epoch], self._save(model, epoch.epoch)
        best = last if before is None or best_epoch(history) == epoch.epoch else before.best
        state = State(history=history, last=last, best=best)
        replace_file(self.folder / state.name, seal(state))
        if self.bucket:
            self.check()
            for name in {last, best}:
                if not self.bucket.has(name, (self.folder / name).stat().st_size):
                    self.bucket.upload(self.folder / name, name)
            self.check()
            self.bucket.upload(self.folder / state.name, state.name)
            self.check()
        self._remove_earlier(state, before)
        self.state = state
        return state

    def finish(self) -> None:
        """Mark the training as finished, and remove all epochs before the last one."""
        if self.state:
            self._remove_earlier(self.state, None)
            (self.folder / FINISHED).touch()
            if self.bucket:
                self.bucket.create(FINISHED, b"")

    def clear(self, *, unfinished: bool = True) -> None:
        """Remove all epochs, or, without `unfinished`, those of a finished training."""
        if self.folder.exists() and (unfinished or (self.folder / FINISHED).exists()):
            remove_whole(self.folder)
        if self.bucket and (unfinished or self.bucket.tag(FINISHED)):
            self.check()
            # States go before their files, and the mark last: if this is interrupted, it is done again.
            for name in sorted(self.bucket.names(""), key=lambda name: (name == FINISHED, not name.endswith(".json"))):
                self.bucket.remove(name)

    def _state_names(self) -> list[str]:
        """Return the names of the states here and in the bucket, the last epoch's first."""
        names = {path.name for path in self.folder.glob("*")} | set(self.bucket.names("") if self.bucket else ())
        return sorted(filter(STATE_NAME.fullmatch, names), reverse=True)

    def _save(self, model: "keras.Model", epoch: int) -> str:
        draft = self.folder / f"epoch-{epoch:05d}.keras"
        save_model(model, draft)
        flush(draft)
        return draft.rename(draft.with_suffix(f".{hash_file(draft)}.keras")).name

    def _fetch(self, name: str, read: Callable[[Path], Content]) -> Content:
        """Return what `read` returns of a file; a missing or damaged one is fetched from the bucket, if it is there."""
        path = self.folder / name
        try:
            return read(path)
        except DamagedError:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.bucket or not self.bucket.download(name, path):
                raise
            return read(path)

    def _remove_earlier(self, last: State, before: State | None) -> None:
        """Remove the mark, and the files of earlier epochs that these states do not need.

        Later epochs stay: they are a longer training's, which was interrupted.
        """
        needed = {name for state in (last, before) if state for name in (state.name, state.last, state.best)}

        def is_outdated(name: str) -> bool:
            return name not in needed and (name == FINISHED or name < last.name)

        for path in self.folder.iterdir():
            if is_outdated(path.name):
                path.unlink()
        if self.bucket:
            for name in filter(is_outdated, self.bucket.names("")):
                self.bucket.remove(name)


def verify(path: Path) -> None:
    """Raise DamagedError if a file of weights is missing, or has not the sha256 that is in its name."""
    if not path.is_file() or hash_file(path) not in path.name.split("."):
        raise DamagedError(f"{path}: missing or altered")


def open_checkpoint(store: Store, key: str, check: Callable[[], None]) -> Checkpoint:
    """Return the checkpoint of the training `key`, which is held, with `check` of `Store.held`."""
    folder = store.root / CHECKPOINTS / key
    bucket = Bucket(f"{store.bucket.address}/{CHECKPOINTS}/{key}") if isinstance(store, SharedStore) else None
    return Checkpoint(folder, bucket, check)


@contextlib.contextmanager
def resumable(resume: Resume) -> Iterator[Checkpoint]:
    """Hold a training against other processes, and yield its checkpoint; on success keep only its last epoch.

    Of the finished trainings the newest stay, for longer ones to continue from. `resume` has the training's key, and
    says whether its epochs are ignored.
    """
    store = open_store()
    with store.held(resume.key) as check:
        assert check  # it has waited for it
        checkpoint = open_checkpoint(store, resume.key, check)
        if resume.ignored:
            checkpoint.clear()
        yield checkpoint
        checkpoint.finish()
    remove_old_trainings(store, resume.key.partition("/")[0])


def remove_old_trainings(store: Store, step: str) -> None:
    """Remove the epochs of finished trainings, except the newest and those that another process holds."""
    marks = (store.root / CHECKPOINTS / step).glob(f"*/{FINISHED}")
    finished = {path.parent.name: path.stat().st_mtime for path in marks}
    if isinstance(store, SharedStore):
        shared = store.bucket.names(f"{CHECKPOINTS}/{step}")
        finished |= {Path(name).parent.name: at.timestamp() for name, at in shared.items() if name.endswith(FINISHED)}
    # An object store's clock shows seconds: of equal times the name decides, so that each machine keeps the same ones.
    for training in sorted(finished, key=lambda name: (finished[name], name), reverse=True)[KEPT_TRAININGS:]:
        with store.held(f"{step}/{training}", wait=False) as check:
            if check:
                open_checkpoint(store, f"{step}/{training}", check).clear(unfinished=False)
