"""Download: the texts as their source provides them, checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from tasks.core.data_settings import DataSettings, SourceSettings, is_address
from tasks.core.errors import SourceUnreachable
from tasks.core.files import hash_file
from tasks.core.paths import user_path
from tasks.core.settings import RunSettings
from tasks.store.step import is_planning, step, step_logger
from tasks.texts.dataset import Dataset
from tasks.texts.sources.corrections import Corrections
from tasks.texts.sources.fetching import is_remote, local_path
from tasks.texts.sources.imdb import fetch_imdb, word_index_of
from tasks.texts.sources.layouts import describe_unread, labelled_files
from tasks.texts.sources.own_files import fetch_own, hash_dataset
from tasks.texts.sources.remote import copy_dataset, find_copy
from tasks.texts.sources.rotten_tomatoes import fetch_rotten_tomatoes


def check_dataset(settings: RunSettings) -> None:
    """Refuse a dataset of your own that does not exist or holds no table, and unreadable corrections."""
    if settings.data.is_own and not is_address(settings.data.dataset):
        labelled_files(user_path(settings.data.dataset))
    Corrections(settings.data)


def pin(settings: DataSettings, warn: Callable[[str], None]) -> DataSettings:
    """Return settings with the hashes of local files, so that the cache key depends on their content.

    `warn` is called about files in the dataset's folder that are not read.
    """
    if settings.dataset == "imdb" and not settings.word_index_sha256:
        index = word_index_of(settings)
        if not is_remote(index) and local_path(index).is_file():
            return settings.model_copy(update={"word_index_sha256": hash_file(local_path(index))})
    if not settings.is_own:
        return settings
    if is_address(settings.dataset) and not is_planning():
        warn(copy_dataset(settings, refresh=settings.refresh)[1])
    path = find_copy(settings)
    if path is None:  # a dry run writes nothing
        return settings
    sha256 = hash_dataset(settings)
    if passed_over := describe_unread(path):
        warn(passed_over)
    return settings.model_copy(update={"sha256": sha256})


def another_try_may_help(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed download is worth a retry."""
    return isinstance(state.result(raise_on_failure=False), SourceUnreachable)


@step(
    run_name="download {settings.dataset}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=1),
    retry_jitter_factor=0.5,
    retry_condition_fn=another_try_may_help,
)
def download(*, settings: SourceSettings, folder: Path) -> dict[str, Any]:
    """Write the dataset's files and dataset.json into `folder`, and return its description as {"dataset": ...}.

    Raises:
        InputError: your files cannot be trained on.
        SourceUnreachable: retrying may help.
        SourceError: retrying will not help.
    """
    warn = step_logger().warning
    if settings.dataset == "imdb":
        dataset = fetch_imdb(settings, folder, warn)
    elif settings.is_own:
        dataset = fetch_own(settings, folder, warn)
    else:
        dataset = fetch_rotten_tomatoes(folder, settings.labels)
    Dataset.model_validate(dataset).write(folder)
    return {"dataset": dataset}
