"""Recovery: a run whose process or machine is gone begins again by itself, and goes on where its steps were kept.

    python flows/recovery.py

Run it once against the server that PREFECT_API_URL names; `make deploy` does. A run of a deployment tells the server
every half a minute that it is alive. One that is silent for a minute and a half is marked as crashed; one that has
crashed is scheduled again, for any worker to take up, until it has crashed three times. One that a worker has taken up
and not begun for ten minutes is scheduled again, too: its worker is gone.
"""

import argparse
import sys
from datetime import timedelta

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

import httpx  # noqa: E402
from prefect.automations import Automation  # noqa: E402
from prefect.client.schemas.objects import StateType  # noqa: E402
from prefect.events import EventTrigger, Posture, ResourceSpecification  # noqa: E402
from prefect.events.actions import ChangeFlowRunState  # noqa: E402
from prefect.settings import PREFECT_API_URL  # noqa: E402

from tasks.core.errors import InputError  # noqa: E402
from tasks.showing.automations import check_server, renew  # noqa: E402

SILENT = timedelta(seconds=90)  # three times as long as a live run, as deployment.yaml has it, leaves between its signs
TAKEN = timedelta(minutes=10)  # as long as the image of a container may take to come
STARTS = 3  # of a run, before a person has to look at it

CRASH = "imdb-pipeline: a run that gives no sign of life has crashed"
AGAIN = "imdb-pipeline: a run that has crashed begins again"
NEVER_BEGUN = "imdb-pipeline: a run that was taken up and never began is scheduled again"
ALIVE = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}


LEFT_PENDING = {f"prefect.flow-run.{state}" for state in ("Running", "Scheduled", "Late", "AwaitingRetry")} | ENDS


def automations(silent: timedelta = SILENT, taken: timedelta = TAKEN) -> list[Automation]:
    """Return the automations that find runs without a process, and those that begin them again.

    Args:
        silent: how long a run may give no sign of life.
        taken: how long a run may be pending, which it is from when a worker takes it up until it begins.
    """
    ours = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "imdb-pipeline*"})
    any_run = {"prefect.resource.id": "prefect.flow-run.*"}
    is_silent = EventTrigger(
        after={ALIVE},
        expect={ALIVE, *ENDS},
        match=ResourceSpecification(any_run),
        match_related=ours,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=silent,
    )
    # Runs that are out of memory each time must end some time.
    starts = [str(count) for count in range(1, STARTS)]
    has_crashed = EventTrigger(
        expect={"prefect.flow-run.Crashed"},
        match=ResourceSpecification(any_run | {"prefect.run-count": starts}),
        match_related=ours,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )
    is_pending = EventTrigger(
        after={"prefect.flow-run.Pending"},
        expect=LEFT_PENDING,
        match=ResourceSpecification(any_run),
        match_related=ours,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=taken,
    )
    crashed = ChangeFlowRunState(
        state=StateType.CRASHED, message=f"No sign of life for {silent.total_seconds():.0f} s: its process is gone"
    )
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="It goes on where its steps were kept"
    )
    return [
        Automation(name=CRASH, trigger=is_silent, actions=[crashed]),
        Automation(name=AGAIN, trigger=has_crashed, actions=[again]),
        Automation(name=NEVER_BEGUN, trigger=is_pending, actions=[again]),
    ]


def main() -> None:
    """Set the automations up, or exit with a line that says why not."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    server = PREFECT_API_URL.value()
    try:
        check_server(server)
        renew(automations())
    except InputError as error:
        sys.exit(f"recovery.py: {error}")
    except httpx.ConnectError:
        sys.exit(f"recovery.py: no server answers at {server}; start one with make server")
    print("Runs whose process or machine is gone begin again by themselves")


if __name__ == "__main__":
    main()
