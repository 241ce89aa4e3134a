"""Housekeeping: list, verify and prune the artifacts that runs have left behind."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

from prefect import flow

from tasks.core.flow_settings import HousekeepingSettings
from tasks.housekeeping import run_housekeeping
from tasks.reporting.screen import show_inventory


@flow(name="imdb-pipeline-housekeeping", persist_result=False)
def housekeeping_flow(settings: HousekeepingSettings = HousekeepingSettings()) -> dict[str, Any]:
    """List the store's artifacts, verify their hashes, or prune those that no run uses any longer."""
    return run_housekeeping(settings)


main = partial(run_flow, housekeeping_flow, HousekeepingSettings, show_inventory)

if __name__ == "__main__":
    raise SystemExit(main())
