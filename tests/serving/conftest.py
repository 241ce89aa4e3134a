"""Fixtures: a store with a champion, and a service on it."""

import pytest

from tests.serving.running import service
from tests.support.champions import store_with_champion


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a champion in its registry."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        yield root


@pytest.fixture(scope="module")
def running(store):
    """One service, shared by the tests that do not stop it."""
    flags = ["--look-seconds", "0.2", "--patience", "1", "--max-body", "200000", "--max-waiting", "64"]
    with service(store, *flags, log=store / "service.log") as running:
        yield running
