"""Fixtures: a store with a champion, and a service on it."""

import pytest

from tests.serving.running import TEST, service
from tests.support.champions import store_with_champion, write_run_of


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a champion in its registry and the run folder that trained it."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        write_run_of(root, TEST | {"f1": 0.8}, "<p>the report</p>")
        yield root


@pytest.fixture(scope="module")
def running(store):
    """One service, shared by the tests that do not stop it."""
    flags = ["--look-seconds", "0.2", "--patience", "1", "--max-body", "200000", "--max-waiting", "64"]
    with service(store, *flags, log=store / "service.log") as running:
        yield running
