"""Automations: what Prefect's server does by itself when something happens to a run or a model."""

from collections.abc import Sequence

from prefect import get_client
from prefect.automations import Automation

from tasks.core.addresses import has_password
from tasks.core.errors import InputError


def check_server(server: str | None) -> None:
    """Refuse a server that cannot keep automations, or whose address everybody would read.

    Args:
        server: what PREFECT_API_URL names.

    Raises:
        InputError: there is none, or there is a password in its address.
    """
    if not server:
        raise InputError("PREFECT_API_URL names no server; a temporary one would forget the automations")
    if has_password(server):
        raise InputError("PREFECT_API_URL has a password in it; take it out, and set PREFECT_API_AUTH_STRING")


def renew(made: Sequence[Automation]) -> None:
    """Make automations, each in place of one of the same name."""
    with get_client(sync_client=True) as client:
        for automation in made:
            for old in client.read_automations_by_name(automation.name):
                client.delete_automation(old.id)
    for automation in made:
        automation.create()
