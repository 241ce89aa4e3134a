"""A trained network: the files that training leaves, and the record of how it went."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

TRAINING = "training.json"


class Epoch(BaseModel):
    """What one epoch came to: losses, metrics of the training and validation reviews, seconds."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    epoch: int
    loss: float
    val_loss: float
    seconds: float


class Training(BaseModel):
    """How training went: its epochs, without their seconds, which differ each time.

    Attributes:
        bucketing: whether reviews were padded to the next multiple of 32 only.
        best_epoch: the one with the lowest validation loss.
        kept_epoch: the one whose weights were kept.
        history: the metrics of each epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucketing: bool
    best_epoch: int
    kept_epoch: int
    history: list[dict[str, int | float]]


def write_training(folder: Path, history: list[Epoch], *, bucketing: bool, keep_best: bool) -> None:
    """Write the record of a training run of at least one epoch."""
    best = best_epoch(history)
    training = Training(
        bucketing=bucketing,
        best_epoch=best,
        kept_epoch=best if keep_best else history[-1].epoch,
        history=[epoch.model_dump(exclude={"seconds"}) for epoch in history],
    )
    (folder / TRAINING).write_text(training.model_dump_json(indent=1))


def read_training(folder: Path) -> Training:
    """Return what `write_training` wrote."""
    return Training.model_validate_json((folder / TRAINING).read_bytes())


def best_epoch(history: list[Epoch]) -> int:
    """Return the epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda epoch: epoch.val_loss).epoch
