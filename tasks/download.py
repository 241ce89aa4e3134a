"""Download: the texts as their source provides them, checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.data_settings import DataSettings, SourceSettings, is_address
from tasks.core.errors import SourceUnreachable
from tasks.core.files import hash_file
from tasks.store.step import is_planning, run_logger, step
from tasks.texts.sources.datasets import fetch_dataset
from tasks.texts.sources.fetching import is_remote, local_path
from tasks.texts.sources.imdb import word_index_of
from tasks.texts.sources.layouts import describe_unread, hash_files
from tasks.texts.sources.remote import copy_dataset, find_copy


def pin(settings: DataSettings, warn: Callable[[str], None]) -> DataSettings:
    """Return settings with the hashes of local files, so that the cache key depends on their content.

    Texts at an address are copied to the store, except in a dry run. `warn` is called about the copy, and about files
    in the dataset's folder that are not read.
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
    if path and (unread := describe_unread(path)):
        warn(unread)
    return settings.model_copy(update={"sha256": hash_files(path)}) if path else settings


def another_try_may_help(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether a failed download is worth a retry."""
    return isinstance(state.result(raise_on_failure=False), SourceUnreachable)


@step(
    run_name="download {settings.dataset}",
    retries=3,
    retry_delay_seconds=[1, 2, 4],
    retry_jitter_factor=0.5,
    retry_condition_fn=another_try_may_help,
)
def download(*, settings: SourceSettings, folder: Path) -> dict[str, Any]:
    """Return the result of `fetch_dataset` as {"dataset": ...}."""
    return {"dataset": fetch_dataset(settings, folder, run_logger().warning)}
