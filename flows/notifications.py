"""Notifications: a webhook that is called when a run fails and when a model becomes the champion.

    WEBHOOK=https://hooks.example.org/imdb python flows/notifications.py

Run it once against the server that PREFECT_API_URL names; run it again with another address to change it. Whoever has a
webhook's address may post there, so it is a secret: only its host is printed, and Prefect keeps it as one.
"""

import argparse
import os
import sys

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

import httpx  # noqa: E402
from prefect.automations import Automation  # noqa: E402
from prefect.blocks.notifications import CustomWebhookNotificationBlock  # noqa: E402
from prefect.events import EventTrigger, Posture, ResourceSpecification  # noqa: E402
from prefect.events.actions import SendNotification  # noqa: E402
from prefect.settings import PREFECT_API_URL  # noqa: E402

from tasks.core.addresses import site_of  # noqa: E402
from tasks.core.errors import InputError  # noqa: E402
from tasks.showing.automations import check_server, renew  # noqa: E402
from tasks.showing.events import MODEL_PROMOTED  # noqa: E402

BLOCK = "imdb-pipeline"

FAILURE = "imdb-pipeline: a run failed"
PROMOTION = "imdb-pipeline: a new champion"


def automations(block_id: object) -> list[Automation]:
    """Return the automations that call a notification block.

    Args:
        block_id: the block's document id.
    """

    def when(event: str, name: str, body: str, **match: object) -> Automation:
        trigger = EventTrigger(expect={event}, posture=Posture.Reactive, threshold=1, **match)
        notify = SendNotification(block_document_id=block_id, subject=name, body=body)
        return Automation(name=name, trigger=trigger, actions=[notify])

    imdb_runs = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "imdb-pipeline"})
    return [
        when(
            "prefect.flow-run.Failed",
            FAILURE,
            "Run {{ flow_run.name }} of {{ flow.name }} failed: {{ flow_run.state.message }}",
            match_related=imdb_runs,
        ),
        when(MODEL_PROMOTED, PROMOTION, "{{ event.payload.reason }}"),
    ]


def set_up(address: str) -> None:
    """Make, or make anew, the webhook block, with the address as its secret, and both automations."""
    block = CustomWebhookNotificationBlock(
        name=BLOCK,
        url="{{address}}",
        method="POST",
        json_data={"text": "{{subject}}: {{body}}"},
        secrets={"address": address},
    )
    block_id = block.save(BLOCK, overwrite=True)
    renew(automations(block_id))


def check(address: str, server: str | None) -> str:
    """Return what may be printed of a webhook's address.

    Args:
        address: the webhook's.
        server: the address of Prefect's server.

    Raises:
        InputError: one of them is missing, or is not an address, or has a password in it.
    """
    check_server(server)
    if not address:
        raise InputError("no webhook: set WEBHOOK=https://…")
    try:
        site = site_of(address)
    except ValueError as error:
        raise InputError(f"WEBHOOK is no address: {error}") from None
    if not site.startswith(("http://", "https://")):
        raise InputError("WEBHOOK is no address that can be posted to; it begins with https://")
    return site


def main() -> None:
    """Set up what the command line asks for, or exit with a line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", nargs="?", help='where to POST {"text": …}; better in $WEBHOOK, which no one sees')
    address, server = parser.parse_args().address or os.environ.get("WEBHOOK", ""), PREFECT_API_URL.value()
    try:
        site = check(address, server)
        set_up(address)
    except InputError as error:
        sys.exit(f"notifications.py: {error}")
    except httpx.ConnectError:
        sys.exit(f"notifications.py: no server answers at {server}; start one with make server")
    print(f"The webhook at {site} is told of failed runs and new champions")


if __name__ == "__main__":
    main()
