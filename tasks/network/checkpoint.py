"""Checkpoints: the last whole epoch of a training run, kept until the run is done."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks.core.files import flush, hash_file, replace_file
from tasks.core.sealed import RotError, seal, unseal
from tasks.network.models import save_model

if TYPE_CHECKING:
    import keras

STATE = "state.json"


class Epoch(BaseModel):
    """What one epoch came to: losses, metrics of the training and validation reviews, seconds."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    epoch: int
    loss: float
    val_loss: float
    seconds: float


class State(BaseModel):
    """Where training stands: the finished epochs and the files that hold the last and the best weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: list[Epoch]
    last: str
    best: str
    files: dict[str, str]


class Checkpoint:
    """A folder that holds the last whole epoch and the best one."""

    def __init__(self, folder: Path) -> None:
        """Keep checkpoints in `folder`."""
        self.folder = folder

    def read(self, warn: Callable[[str], None]) -> State | None:
        """Return where training stands, or None where there is no whole checkpoint.

        Args:
            warn: told when there is one that cannot be used.
        """
        if not (self.folder / STATE).exists():
            return None
        try:
            state = unseal(self.folder / STATE, State)
            for name, sha256 in state.files.items():
                if not (self.folder / name).is_file() or hash_file(self.folder / name) != sha256:
                    raise RotError(f"{self.folder / name}: missing or altered")
        except RotError as rot:
            warn(f"{rot}; training begins anew")
            return None
        return state

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
        replace_file(self.folder / STATE, seal(state))
        for stale in self.folder.glob("*.keras"):
            if stale.name not in files:
                stale.unlink()
        return state

    def remove(self) -> None:
        """Remove the folder: the run is done, and its model is an artifact."""
        shutil.rmtree(self.folder, ignore_errors=True)


def epoch_file(epoch: int) -> str:
    """Return the name of the file that holds the model after an epoch."""
    return f"epoch-{epoch:05d}.keras"


def best_epoch(history: list[Epoch]) -> int:
    """Return the epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda epoch: epoch.val_loss).epoch
