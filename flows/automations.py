"""Automations: actions of Prefect's server when a run crashes, fails or makes a new champion.

    python flows/automations.py recovery
    WEBHOOK=https://hooks.example.org/imdb python flows/automations.py notifications

Run each once against the server at PREFECT_API_URL, as `make deploy` and `make notify` do; running it again replaces
its automations.

recovery: a run of a deployment sends a heartbeat every 30 s. One that is silent for 90 s is marked as crashed; a
crashed run is scheduled again, for any worker, until it has crashed three times. So is a run that a worker took but did
not start within ten minutes.

notifications: a webhook is called when a run fails and when a model becomes the champion. Anyone who has a webhook's
address can post to it, so it is a secret: only its host is printed, and Prefect stores it as a secret.
"""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import exit_status

import argparse
import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from prefect import get_client
from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.settings import PREFECT_API_URL

from tasks.core.errors import InputError
from tasks.core.paths import printable_url
from tasks.reporting.preflight import check_address
from tasks.reporting.progress import MODEL_PROMOTED


def check_server(server: str | None) -> None:
    """Refuse a temporary server, and one that cannot be used at its address, `server`."""
    if not server:
        raise InputError("PREFECT_API_URL names no server; a temporary one would forget the automations")
    check_address(server)


def renew(automations: Sequence[Automation]) -> None:
    """Create automations, each in place of those of the same name."""
    with get_client(sync_client=True) as client:
        for automation in automations:
            for old in client.read_automations_by_name(automation.name):
                client.delete_automation(old.id)
            automation.create()


SILENT = timedelta(seconds=90)  # three times the interval of heartbeats in deployment.yaml
TAKEN = timedelta(minutes=10)  # time for a container's image to be downloaded
MAX_STARTS = 3  # of a run that crashes each time

ALIVE = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}

# The flows of deployment.yaml: only their deployed runs are restarted.
DEPLOYED = ["imdb-pipeline", *(f"imdb-pipeline-{name}" for name in ("compare", "housekeeping", "predict"))]
LEFT_PENDING = {f"prefect.flow-run.{state}" for state in ("Running", "Scheduled", "Late", "AwaitingRetry")} | ENDS


def recovery_automations(silent: timedelta = SILENT, taken: timedelta = TAKEN) -> list[Automation]:
    """Return the automations that find runs without a process and restart them.

    Args:
        silent: how long a run may send no heartbeat.
        taken: how long a run may be pending, from when a worker takes it until it starts.
    """
    ours = [
        ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": DEPLOYED}),
        ResourceSpecification({"prefect.resource.role": "deployment"}),
    ]
    any_run = {"prefect.resource.id": "prefect.flow-run.*"}
    trigger = partial(EventTrigger, match_related=ours, for_each={"prefect.resource.id"}, threshold=1)
    absent = partial(trigger, match=ResourceSpecification(any_run), posture=Posture.Proactive)
    is_silent = absent(after={ALIVE}, expect={ALIVE, *ENDS}, within=silent)
    starts = [str(count) for count in range(1, MAX_STARTS)]
    has_crashed = trigger(
        expect={"prefect.flow-run.Crashed"},
        match=ResourceSpecification(any_run | {"prefect.run-count": starts}),
        posture=Posture.Reactive,
    )
    is_pending = absent(after={"prefect.flow-run.Pending"}, expect=LEFT_PENDING, within=taken)
    crashed = ChangeFlowRunState(
        state=StateType.CRASHED, message=f"No sign of life for {silent.total_seconds():.0f} s: its process is gone"
    )
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="It goes on where its steps were kept"
    )
    made = {
        "imdb-pipeline: a run that gives no sign of life has crashed": (is_silent, crashed),
        "imdb-pipeline: a run that has crashed begins again": (has_crashed, again),
        "imdb-pipeline: a run that was taken up and never began is scheduled again": (is_pending, again),
    }
    return [Automation(name=name, trigger=trigger, actions=[action]) for name, (trigger, action) in made.items()]


def notification_automations(block_id: object) -> list[Automation]:
    """Return the automations that call the notification block with the id `block_id`."""

    def when(event: str, name: str, body: str, **match: object) -> Automation:
        trigger = EventTrigger(expect={event}, posture=Posture.Reactive, threshold=1, **match)
        notify = SendNotification(block_document_id=block_id, subject=name, body=body)
        return Automation(name=name, trigger=trigger, actions=[notify])

    imdb_runs = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "imdb-pipeline"})
    failure = "Run {{ flow_run.name }} of {{ flow.name }} failed: {{ flow_run.state.message }}"
    return [
        when("prefect.flow-run.Failed", "imdb-pipeline: a run failed", failure, match_related=imdb_runs),
        when(MODEL_PROMOTED, "imdb-pipeline: a new champion", "{{ event.payload.reason }}"),
    ]


def webhook_block(address: str) -> CustomWebhookNotificationBlock:
    """Return the block that posts to a webhook, with the address as its secret."""
    text = {"text": "{{subject}}: {{body}}"}
    return CustomWebhookNotificationBlock(
        name="imdb-pipeline", url="{{address}}", method="POST", json_data=text, secrets={"address": address}
    )


def printable_webhook(address: str) -> str:
    """Return the part of a webhook's address that may be printed; raise InputError if it is missing or invalid."""
    try:
        site = printable_url(address)
        if not site.startswith(("http://", "https://")):
            raise ValueError("it begins with another scheme than https://")
    except ValueError as error:
        raise InputError(f"WEBHOOK is missing or no HTTP address: {error}; set WEBHOOK=https://…") from None
    return site


def main() -> int:
    """Set up the automations that the command line names, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("automations", choices=["recovery", "notifications"])
    parser.add_argument(
        "address", nargs="?", help='notifications: where to POST {"text": …}; prefer $WEBHOOK, which no one sees'
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    name, address = arguments.automations, arguments.address or os.environ.get("WEBHOOK", "")
    return exit_status("automations.py", lambda: set_up(name, address), f"setting up {name}")


def set_up(automations: str, address: str) -> int:
    """Create or replace one of the two sets of automations; `address` is the webhook's."""
    check_server(PREFECT_API_URL.value())
    if automations == "recovery":
        renew(recovery_automations())
        print("Runs whose process or machine is gone start again by themselves")
    else:
        site = printable_webhook(address)
        renew(notification_automations(webhook_block(address).save("imdb-pipeline", overwrite=True)))
        print(f"The webhook at {site} is called when a run fails and when a model becomes the champion")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
