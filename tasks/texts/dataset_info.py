"""Dataset: the file of its texts, dataset.json with its name and labels; and `JsonFile`, the base of such files."""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

TEXTS, DATASET = "texts.parquet", "dataset.json"
MAX_LABELS = 1000


class JsonFile(BaseModel):
    """The content of a JSON file, which has the same name in every folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILE: ClassVar[str]

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / self.FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file."""
        return cls.model_validate_json((folder / cls.FILE).read_bytes())


class Dataset(JsonFile):
    """A dataset's name, its source and the hash of that, and its labels from label 0 on; of two the negative first."""

    model_config = ConfigDict(extra="ignore")
    FILE = DATASET

    name: str
    source: str = ""
    sha256: str
    labels: tuple[str, ...] = Field(min_length=2, max_length=MAX_LABELS)


def label_dtype(labels: int) -> np.dtype:
    """Return int8 for up to 128 labels, else int16."""
    return np.dtype(np.int8 if labels <= 128 else np.int16)
