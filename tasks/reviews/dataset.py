"""The dataset's name tag, which lies beside what was downloaded: what the reviews are called, and their labels."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

DATASET = "dataset.json"


class Dataset(BaseModel):
    """What the reviews are called.

    Attributes:
        name: imdb, rotten-tomatoes, or that of the user's own file or folder.
        sha256: of the source.
        labels: the name of label 0, the negative one, and of label 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    labels: tuple[str, str]


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write the name tag."""
    (folder / DATASET).write_text(dataset.model_dump_json(indent=1), encoding="utf-8")


def read_dataset(folder: Path) -> Dataset:
    """Return what `write_dataset` wrote."""
    return Dataset.model_validate_json((folder / DATASET).read_bytes())
