"""The dataset: the file of its texts, and its name tag beside it, which says what reviews and labels are called."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

TEXTS, DATASET = "texts.parquet", "dataset.json"
MAX_LABELS = 1000


class Dataset(BaseModel):
    """What the reviews are called.

    Attributes:
        name: imdb, rotten-tomatoes, or that of the user's own file or folder.
        sha256: of the source.
        labels: the name of each label, from label 0 on; of two the negative one comes first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    labels: tuple[str, ...] = Field(min_length=2, max_length=MAX_LABELS)


def label_dtype(labels: int) -> np.dtype:
    """Return the type that holds the numbers of so many labels: int8 up to 128, else int16."""
    return np.dtype(np.int8 if labels <= 128 else np.int16)


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write the name tag."""
    (folder / DATASET).write_text(dataset.model_dump_json(indent=1), encoding="utf-8")


def read_dataset(folder: Path) -> Dataset:
    """Return what `write_dataset` wrote."""
    return Dataset.model_validate_json((folder / DATASET).read_bytes())
