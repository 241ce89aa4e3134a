"""Housekeeping: list, verify and prune the artifacts that runs have left behind."""

from tasks.reporting.command_line import run_from_command_line

from typing import Any

from prefect import flow

from tasks.core.flow_settings import HousekeepingSettings
from tasks.housekeeping import run_housekeeping


@flow(name="imdb-pipeline-housekeeping", persist_result=False)
def housekeeping_flow(settings: HousekeepingSettings = HousekeepingSettings()) -> dict[str, Any]:
    """List the store's artifacts, verify their hashes, or prune those that no run uses any longer.

    Args:
        settings: what to do.

    Returns:
        The artifacts concerned, and for `verify` what is wrong with them.
    """
    return run_housekeeping(settings)


def main() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.reporting.command_line import HousekeepingCommandLine

    from tasks.reporting.screen import show_house

    return run_from_command_line(housekeeping_flow, HousekeepingCommandLine, HousekeepingSettings, show_house)


if __name__ == "__main__":
    raise SystemExit(main())
