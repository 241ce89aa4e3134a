"""Promote: make a version the champion by hand, roll back, list the champions, or track a run that was not tracked."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

from prefect import flow

from tasks.core.flow_settings import PromoteSettings
from tasks.promote import list_champions, make_champion, promote
from tasks.registry.client import tracking_uri
from tasks.reporting.screen import show_promotion
from tasks.run_folder import complete_run_folder, read_run
from tasks.store.shared_store import open_store
from tasks.track import track


@flow(name="imdb-pipeline-promote", persist_result=False)
def promote_flow(settings: PromoteSettings) -> dict[str, Any]:
    """Make a registered version the champion, or track a finished run that could not be tracked and decide on it.

    Args:
        settings: the version and its model, or the run.

    Returns:
        The record: decision, reason, against (the version replaced, or null), model, version; or the champions so far.
    """
    uri = tracking_uri()
    if settings.list:
        return list_champions(settings, uri)
    if settings.run is None:
        return make_champion(settings, uri)
    folder, asked, artifacts = read_run(settings.run, open_store())
    tracking = track(settings=asked, artifacts=artifacts, uri=uri)
    metric = asked.evaluation.metric
    promotion = promote(tracking=tracking, downloaded=artifacts.downloaded, settings=asked.promotion, metric=metric)
    complete_run_folder(folder, asked, artifacts, tracking, promotion)
    return promotion


main = partial(run_flow, promote_flow, PromoteSettings, show_promotion)

if __name__ == "__main__":
    raise SystemExit(main())
