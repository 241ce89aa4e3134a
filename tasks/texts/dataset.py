"""Dataset: the file of its texts, and dataset.json with its name and labels."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

TEXTS, DATASET = "texts.parquet", "dataset.json"
MAX_LABELS = 1000


class Dataset(BaseModel):
    """A dataset's name, the sha256 of its source, and its labels from label 0 on, the negative one of two first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    labels: tuple[str, ...] = Field(min_length=2, max_length=MAX_LABELS)


def label_dtype(labels: int) -> np.dtype:
    """Return int8 for up to 128 labels, else int16."""
    return np.dtype(np.int8 if labels <= 128 else np.int16)


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write dataset.json."""
    (folder / DATASET).write_text(dataset.model_dump_json(indent=1), encoding="utf-8")


def read_dataset(folder: Path) -> Dataset:
    """Read dataset.json."""
    return Dataset.model_validate_json((folder / DATASET).read_bytes())
