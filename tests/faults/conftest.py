"""Fixtures of the fault tests: a Prefect server for all runs, and an undisturbed run."""

import os
from pathlib import Path

import pytest

from tests.faults.driver import Driver


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The address of a real Prefect server that outlives the runs."""
    from prefect.server.api.server import SubprocessASGIServer  # here, because every pytest reads this file

    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    server = SubprocessASGIServer()
    server.start(timeout=120)
    yield server.api_url
    server.stop()


@pytest.fixture(scope="session")
def driver(imdb: Path, server: str, tmp_path_factory) -> Driver:
    """Starts runs that use the shared server."""
    return Driver(imdb, tmp_path_factory.mktemp("logs"), server)


@pytest.fixture(scope="session")
def undisturbed(driver: Driver, tmp_path_factory) -> tuple[dict, Path]:
    """The metrics and the store of a run that was never interrupted."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    return driver.finish(store), store
