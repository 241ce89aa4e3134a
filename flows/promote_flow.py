"""Promote: make a registered version the champion by hand, or roll back to one."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

from prefect import flow

from tasks.core.flow_settings import PromoteSettings
from tasks.promote import make_champion
from tasks.registry.client import tracking_uri
from tasks.reporting.screen import show_promotion


@flow(name="imdb-pipeline-promote", persist_result=False)
def promote_flow(settings: PromoteSettings) -> dict[str, Any]:
    """Make a registered version the champion, and return the decision as it is recorded."""
    return make_champion(settings, tracking_uri())


main = partial(run_flow, promote_flow, PromoteSettings, show_promotion)

if __name__ == "__main__":
    raise SystemExit(main())
