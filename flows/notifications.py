"""Notifications: a webhook that is called when a run fails and when a model becomes the champion.

    python flows/notifications.py https://hooks.example.org/imdb

Run it once against the server that PREFECT_API_URL names; run it again with another address to change it.
"""

import argparse
import sys

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

import httpx  # noqa: E402
from prefect import get_client  # noqa: E402
from prefect.automations import Automation  # noqa: E402
from prefect.blocks.notifications import CustomWebhookNotificationBlock  # noqa: E402
from prefect.events import EventTrigger, Posture, ResourceSpecification  # noqa: E402
from prefect.events.actions import SendNotification  # noqa: E402
from prefect.settings import PREFECT_API_URL  # noqa: E402

from tasks.showing.events import PROMOTED  # noqa: E402

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
        when(PROMOTED, PROMOTION, "{{ event.payload.reason }}"),
    ]


def set_up(address: str) -> None:
    """Make, or make anew, the webhook block and both automations."""
    block = CustomWebhookNotificationBlock(
        name=BLOCK, url=address, method="POST", json_data={"text": "{{subject}}: {{body}}"}
    )
    block_id = block.save(BLOCK, overwrite=True)
    made = automations(block_id)
    with get_client(sync_client=True) as client:
        for automation in made:
            for old in client.read_automations_by_name(automation.name):
                client.delete_automation(old.id)
    for automation in made:
        automation.create()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help='where to POST {"text": …}')
    arguments = parser.parse_args()
    if not PREFECT_API_URL.value():
        sys.exit("notifications.py: PREFECT_API_URL names no server; a temporary one would forget the automations")
    try:
        set_up(arguments.address)
    except httpx.ConnectError:
        sys.exit(f"notifications.py: no server answers at {PREFECT_API_URL.value()}; start one with make server")
    print(f"{arguments.address} is told of failed runs and new champions")
