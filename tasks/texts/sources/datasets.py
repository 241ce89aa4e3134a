"""Datasets: the texts of a run, from whichever source its settings name."""

from pathlib import Path
from typing import Any

from tasks.core.data_settings import SourceSettings, is_address
from tasks.core.user_paths import user_path
from tasks.texts.dataset_info import Dataset
from tasks.texts.sources.imdb import fetch_imdb
from tasks.texts.sources.layouts import labelled_files
from tasks.texts.sources.own_files import fetch_own
from tasks.texts.sources.rotten_tomatoes import fetch_rotten_tomatoes
from tasks.texts.sources.splits import Warn


def check_dataset(settings: SourceSettings) -> None:
    """Refuse a dataset of your own that does not exist or holds no table."""
    if settings.is_own and not is_address(settings.dataset):
        labelled_files(user_path(settings.dataset))


def fetch_dataset(settings: SourceSettings, folder: Path, warn: Warn) -> dict[str, Any]:
    """Write the dataset's files and dataset.json into `folder`, and return its description.

    Raises:
        InputError: your files cannot be trained on.
        SourceUnreachable: retrying may help.
        SourceError: retrying will not help.
    """
    if settings.dataset == "imdb":
        dataset = fetch_imdb(settings, folder, warn)
    elif settings.is_own:
        dataset = fetch_own(settings, folder, warn)
    else:
        dataset = fetch_rotten_tomatoes(folder)
    Dataset.model_validate(dataset).write(folder)
    return dataset
