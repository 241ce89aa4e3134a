"""Automations: actions of Prefect's server when a run crashes, fails or makes a new champion.

    python flows/automations.py recovery
    WEBHOOK=https://hooks.example.org/imdb python flows/automations.py notifications

Run each once against the server at PREFECT_API_URL, as `make deploy` and `make notify` do; running it again replaces
its automations.

recovery: a run of a deployment sends a heartbeat every 30 s. One that is silent for 90 s is marked as crashed; a
crashed run is scheduled again after 20 s, for any worker, until it has crashed three times. So is a run that a worker
took but did not start within ten minutes.

notifications: a webhook is called when a run fails, crashes for the third time or is not tracked, and when a model
becomes the champion. Anyone who has its address can post to it, so only the host is printed, and Prefect stores it as
a secret.
"""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import exit_status

import argparse
import contextlib
import os
from typing import Any
from urllib.parse import urlsplit

import yaml
from prefect import get_client
from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL

from tasks.core.environment import PROJECT
from tasks.core.errors import InputError
from tasks.reporting.prefect_server import check_address

AUTOMATIONS = PROJECT / "deploy" / "automations.yaml"


def check_server(server: str | None) -> None:
    """Refuse a temporary server, and one that cannot be used at its address, `server`."""
    if not server:
        raise InputError("PREFECT_API_URL names no server; a temporary one would forget the automations")
    check_address(server)


def read_automations(kind: str, **options: Any) -> list[Automation]:
    """Return the automations of a kind, "recovery" or "notifications"; `options` are set in each action."""
    declared = yaml.safe_load(AUTOMATIONS.read_text("utf-8"))[kind]
    return [
        Automation.model_validate(one | {"actions": [action | options for action in one["actions"]]})
        for one in declared
    ]


def replace_automations(kind: str, **options: Any) -> None:
    """Create the automations of a kind, each in place of those of the same name, which Prefect's command cannot."""
    with get_client(sync_client=True) as client:
        for automation in read_automations(kind, **options):
            for old in client.read_automations_by_name(automation.name):
                client.delete_automation(old.id)
            automation.create()


def printable_webhook(address: str) -> str:
    """Return scheme, host and port of a webhook, whose path is a secret; raise InputError if it has no HTTP address."""
    with contextlib.suppress(ValueError):  # the reason would quote the address
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    raise InputError("WEBHOOK is missing or not an HTTP address; set WEBHOOK=https://…")


def main() -> int:
    """Set up the automations that the command line names, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("automations", choices=["recovery", "notifications"])
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    name = arguments.automations
    return exit_status("automations.py", lambda: set_up(name, os.environ.get("WEBHOOK", "")), f"setting up {name}")


def set_up(automations: str, address: str) -> None:
    """Create or replace one of the two sets of automations; `address` is the webhook's."""
    check_server(PREFECT_API_URL.value())
    if automations == "recovery":
        replace_automations("recovery")
        print("Runs whose process or machine is gone start again by themselves")
    else:
        site = printable_webhook(address)
        text = {"text": "{{subject}}: {{body}}"}
        webhook = CustomWebhookNotificationBlock(
            name="imdb-pipeline", url="{{address}}", method="POST", json_data=text, secrets={"address": address}
        )
        block = webhook.save("imdb-pipeline", overwrite=True)
        replace_automations("notifications", block_document_id=block)
        print(f"The webhook at {site} is called for failed and untracked runs, third crashes and new champions")


if __name__ == "__main__":
    raise SystemExit(main())
