"""The automations, on a real Prefect server, with a real webhook receiver."""

import json
import os
import queue
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

import tasks.reporting.prefect_server
from flows.automations import AUTOMATIONS, check_server, main, printable_webhook, read_automations
from tasks.core.errors import InputError, ServerError
from tests.support.servers import prefect_server_for
from tests.support.web import POLL_SECONDS

PROJECT = Path(__file__).parents[2]
DEPLOYMENTS = PROJECT / "deployment.yaml"


# Runs in its own process, because events of this one may already go to another server.
FAILING = """
from pathlib import Path
from tasks.core import environment; environment.prepare([])
from flows.imdb_flow import imdb_flow
from tasks.reporting.prefect_ui import announce_champion, as_untracked
from tasks.store.step import flow
from tasks.core.run_settings import RunSettings
from prefect import get_client
from prefect.states import Failed
with get_client(sync_client=True) as client:
    deployment = client.create_deployment(client.create_flow_from_name("imdb-pipeline"), "nightly")
    run = client.create_flow_run_from_deployment(deployment, name="lucky-cat")
    client.set_flow_run_state(run.id, Failed(message="No network."), force=True)
    print(run.id)
announce_champion({"model": "imdb-classifier", "version": 3, "against": 2, "reason": "Version 3 is better."})
def run_untracked(): return as_untracked(Path("/runs/1"))
flow("imdb-pipeline")(run_untracked)()
imdb_flow(RunSettings.model_validate({"data": {"source": "/nowhere/imdb.npz", "on_unreachable": "fail"}}))
"""


@pytest.fixture
def webhook():
    """A webhook's address, and the queue of the messages posted to it."""
    posted: queue.Queue[str] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Do not log requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", posted
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The API address of a separate server with the password me:right."""
    home = tmp_path_factory.mktemp("prefect")
    environment = os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_AUTH_STRING": "me:right"}
    environment["PREFECT_UI_URL"] = "https://prefect.example.org"
    with prefect_server_for(environment) as served:
        yield served["PREFECT_API_URL"]


@pytest.fixture
def set_up(monkeypatch, capsys):
    """A function that runs the command against a server and returns its exit status, output and errors."""

    def run(server: str | None, *words: str, password: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["automations.py", *words])
        monkeypatch.setattr(tasks.reporting.prefect_server, "LONGEST", 60)  # a busy machine answers late
        with temporary_settings({PREFECT_API_URL: server, PREFECT_API_AUTH_STRING: password}):
            status = main()
        return status, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_webhooks_are_notified_of_failed_and_untracked_runs_and_new_champions(
    webhook, guarded, set_up, store, monkeypatch
):
    address, posted = webhook
    monkeypatch.setenv("WEBHOOK", address)
    for _ in range(2):  # the second call replaces the automations of the first
        status, out, err = set_up(guarded, "notifications", password="me:right")
        assert status == 0, err
        assert address.removesuffix("/hook") in out
        assert "/hook" not in out + err
    client = os.environ | {"PREFECT_API_URL": guarded, "PREFECT_API_AUTH_STRING": "me:right"}
    failed = subprocess.run(
        [sys.executable, "-c", FAILING], env=client, cwd=PROJECT, capture_output=True, text=True, timeout=240
    )
    assert "SourceError" in failed.stderr
    told = sorted(posted.get(timeout=60) for _ in range(4))
    assert told[0] == (
        "imdb-pipeline: a new champion: imdb-classifier version 3, in place of version 2: Version 3 is better."
    )
    told.remove(
        "imdb-pipeline: a run failed: Run lucky-cat of imdb-pipeline/nightly failed: No network. "
        f"https://prefect.example.org/runs/flow-run/{failed.stdout.split()[0]}"
    )
    assert told[1].startswith("imdb-pipeline: a run failed: Run ")
    assert "/nowhere/imdb.npz" in told[1]
    assert told[2].startswith("imdb-pipeline: a run is not tracked: Run ")
    assert "of imdb-pipeline: /runs/1 is complete, but MLflow could not be used, as the log says" in told[2]
    assert posted.empty()


def test_setting_up_automations_without_a_server_is_an_error(set_up):
    status, _out, err = set_up(None, "notifications")
    assert status == 1
    assert "PREFECT_API_URL names no server" in err


def test_a_server_that_does_not_answer_is_reported_in_one_line(set_up):
    status, _out, err = set_up("http://127.0.0.1:1/api", "notifications")
    assert status == 1
    assert err.startswith("automations.py: setting up notifications failed: Prefect's server at http://127.0.0.1:1")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("automations", ["recovery", "notifications"])
def test_a_wrong_server_password_is_reported_in_one_line(guarded, set_up, monkeypatch, automations):
    monkeypatch.setenv("WEBHOOK", "https://hooks.example.org/")
    status, _out, err = set_up(guarded, automations, password="me:wrong")
    assert status == 1
    (line,) = err.splitlines()
    assert "401 Unauthorized" in line
    assert "fix the address, which ends in /api, or PREFECT_API_AUTH_STRING" in line
    assert "me:" not in line


@pytest.mark.parametrize(
    ("flow", "deployment", "is_ours"),
    [
        ("imdb-pipeline", "nightly", True),
        ("imdb-pipeline-compare", "weekly", True),
        ("imdb-pipeline-of-somebody", "nightly", False),
        ("sales", "nightly", False),
        ("imdb-pipeline", None, False),
        ("imdb-pipeline-member", None, False),
    ],
)
def test_only_deployed_runs_of_this_project_are_recovered(flow, deployment, is_ours):
    # Imported here because it takes seconds.
    from prefect.server.events.schemas.automations import EventTrigger
    from prefect.server.events.schemas.events import RelatedResource, Resource

    related = [
        {"prefect.resource.id": "prefect.flow.1", "prefect.resource.role": "flow", "prefect.resource.name": flow}
    ]
    if deployment:
        role = {"prefect.resource.role": "deployment", "prefect.resource.name": deployment}
        related.append({"prefect.resource.id": "prefect.deployment.1"} | role)
    for automation in read_automations("recovery"):
        trigger = EventTrigger.model_validate_json(automation.trigger.model_dump_json())
        assert (
            trigger.covers_resources(
                Resource({"prefect.resource.id": "prefect.flow-run.1", "prefect.run-count": "1"}),
                [RelatedResource(its) for its in related],
            )
            is is_ours
        )


@pytest.mark.parametrize(("started", "is_told"), [("1", False), ("2", False), ("3", True)])
def test_a_crash_is_notified_once_the_run_is_not_started_again(started, is_told):
    from prefect.server.events.schemas.automations import EventTrigger
    from prefect.server.events.schemas.events import RelatedResource, Resource

    found = read_automations("notifications", block_document_id=str(uuid4()))
    told = [its.trigger for its in found if "prefect.flow-run.Crashed" in its.trigger.expect]
    trigger = EventTrigger.model_validate_json(told[0].model_dump_json())
    flow = {"prefect.resource.id": "prefect.flow.1", "prefect.resource.role": "flow"}
    run = Resource({"prefect.resource.id": "prefect.flow-run.1", "prefect.run-count": started})
    its = [RelatedResource(flow | {"prefect.resource.name": "imdb-pipeline"})]
    assert len(told) == 1
    assert trigger.covers_resources(run, its) is is_told


def test_every_deployed_flow_is_recovered():
    entrypoints = {deployed["entrypoint"] for deployed in yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]}
    named = {load_flow_from_entrypoint(str(PROJECT / entrypoint)).name for entrypoint in entrypoints}
    for automation in yaml.safe_load(AUTOMATIONS.read_text())["recovery"]:
        assert set(automation["trigger"]["match_related"][0]["prefect.resource.name"]) == named


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://hooks.example.org/T0/secret?token=secret", "https://hooks.example.org"),
        ("http://me:secret@127.0.0.1:8000/hook", "http://127.0.0.1:8000"),
        ("https://[::1]:8443/secret", "https://[::1]:8443"),
    ],
)
def test_only_the_host_of_a_secret_address_is_shown(address, expected):
    assert printable_webhook(address) == expected


@pytest.mark.parametrize(
    "address",
    ["hooks.example.org/secret", "", "https://", "https://host:secret/", "https://[secret/", "ftp://host/secret"],
)
def test_an_invalid_webhook_address_is_refused_and_not_printed(address):
    with pytest.raises(InputError, match="WEBHOOK") as raised:
        printable_webhook(address)
    assert "secret" not in str(raised.value)


def test_a_password_in_the_server_address_is_refused():
    with pytest.raises(ServerError, match="PREFECT_API_AUTH_STRING"):
        check_server("http://me:secret@127.0.0.1:1/api")
