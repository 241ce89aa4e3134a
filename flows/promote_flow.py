"""Promote: make a registered version the champion by hand, or roll back to one."""

from typing import Any

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

from prefect import flow  # noqa: E402

from tasks.core.flow_settings import PromoteSettings  # noqa: E402
from tasks.judging.registry import tracking_uri  # noqa: E402
from tasks.promote import promote_hand  # noqa: E402


@flow(name="imdb-pipeline-promote", persist_result=False)
def promote_flow(settings: PromoteSettings) -> dict[str, Any]:
    """Make a registered version the champion, and keep a record of who it replaced and why.

    Args:
        settings: the version, and the model that it is of.

    Returns:
        The record: decision, reason, against (the version replaced, or null), model, version.
    """
    return promote_hand(settings, tracking_uri())


def main() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.showing.command_line import PromoteCommandLine, run_from_command_line
    from tasks.showing.screen import show_promotion

    return run_from_command_line(promote_flow, PromoteCommandLine, PromoteSettings, show_promotion)


if __name__ == "__main__":
    raise SystemExit(main())
