"""Housekeeping: list, verify and prune the artifacts that runs have left behind."""

from typing import Any

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

from prefect import flow  # noqa: E402

from tasks.core.flow_settings import HousekeepingSettings  # noqa: E402
from tasks.housekeeping import keep_house  # noqa: E402


@flow(name="imdb-pipeline-housekeeping", persist_result=False)
def housekeeping_flow(settings: HousekeepingSettings = HousekeepingSettings()) -> dict[str, Any]:  # noqa: B008
    """List the store's artifacts, verify their hashes, or prune those that no run uses any longer.

    Args:
        settings: what to do.

    Returns:
        The artifacts concerned, and for `verify` what is wrong with them.
    """
    return keep_house(settings)


def main() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.showing.command_line import HousekeepingCommandLine, run_from_command_line
    from tasks.showing.screen import show_house

    return run_from_command_line(housekeeping_flow, HousekeepingCommandLine, HousekeepingSettings, show_house)


if __name__ == "__main__":
    raise SystemExit(main())
