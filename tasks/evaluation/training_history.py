"""Training history: the metrics of each epoch, and training.json."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.texts.dataset_info import JsonFile


class Epoch(BaseModel):
    """Results of one epoch: losses, metrics of the training and validation texts, seconds.

    Attributes:
        cost: the selection metric on the validation texts, negated if more is better; None without such a metric.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    epoch: int
    loss: float
    val_loss: float
    cost: float | None = None
    seconds: float


class Training(JsonFile):
    """The metrics of each epoch, and which epoch was kept.

    Attributes:
        bucketing: whether texts were padded to the next multiple of 32, or all to maxlen.
        best_epoch: the result of `best_epoch`.
        history: the metrics of each epoch, without its seconds, which differ each time.
    """

    FILE = "training.json"

    bucketing: bool
    best_epoch: int
    kept_epoch: int
    history: list[dict[str, int | float]]


def write_training(folder: Path, history: list[Epoch], *, bucketing: bool, keep_best: bool) -> None:
    """Write training.json, of at least one epoch."""
    best = best_epoch(history)
    kept = best if keep_best else history[-1].epoch
    metrics = [epoch.model_dump(exclude={"seconds"}, exclude_none=True) for epoch in history]
    Training(bucketing=bucketing, best_epoch=best, kept_epoch=kept, history=metrics).write(folder)


def best_epoch(history: list[Epoch]) -> int:
    """Return the epoch with the lowest cost, if any, and of these the earliest with the lowest validation loss."""
    return min(history, key=lambda epoch: (epoch.cost or 0, epoch.val_loss)).epoch
