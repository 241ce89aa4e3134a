import contextlib
import threading
import time

import pytest

from tasks.core.errors import RegistryError
from tasks.registry import registry_lock as lock_module
from tasks.registry.client import registry
from tasks.registry.registry_lock import PREFIX, claims, registry_lock
from tests.support.servers import postgres, programs_of_postgres

SHARED = "http://a.registry.that.stores.share"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.machines)])
def client(request, tmp_path_factory):
    """A registry with one model: the store's own, or one on PostgreSQL."""
    with contextlib.ExitStack() as servers, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTIFACTS_STORE", str(tmp_path_factory.mktemp("store")))
        address = None
        if request.param == "postgresql":
            if programs_of_postgres() is None:
                pytest.skip("PostgreSQL's programs are not installed (Debian: apt-get install postgresql)")
            pytest.importorskip("psycopg", reason="pip install '.[postgres]'")
            address = f"postgresql://{servers.enter_context(postgres('mlflow'))}/mlflow"
        with registry(address) as client:
            client.create_registered_model("films")
            yield client


def test_two_threads_never_hold_the_lock_at_once(client):
    inside, most, done = 0, 0, []

    def decide() -> None:
        nonlocal inside, most
        for _ in range(3):
            with registry_lock(client, SHARED, "films", pause=0.02):
                inside += 1
                most = max(most, inside)
                time.sleep(0.02)
                inside -= 1
            done.append(1)

    threads = [threading.Thread(target=decide) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, len(done), claims(client, "films")) == (1, 9, set())


def test_an_exception_releases_the_lock(client):
    def fail() -> None:
        with registry_lock(client, SHARED, "films"):
            assert len(claims(client, "films")) == 1
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert claims(client, "films") == set()


def test_the_lock_of_a_killed_process_is_released_after_its_lease(client, caplog):
    client.set_registered_model_tag("films", f"{PREFIX}dead", "elsewhere")
    started = time.monotonic()
    with registry_lock(client, SHARED, "films", lease=0.5, pause=0.05):
        assert len(claims(client, "films")) == 1
    assert time.monotonic() - started >= 0.5
    assert "the process that held its lock was killed" in caplog.text
    assert claims(client, "films") == set()


def test_waiting_too_long_for_the_lock_raises_an_error(client, monkeypatch):
    monkeypatch.setattr(lock_module, "TIMEOUT_SECONDS", 0.2)
    with registry_lock(client, SHARED, "films"):
        with pytest.raises(RegistryError, match="films: others held its lock for 0 s; run the same again"):
            with registry_lock(client, SHARED, "films", pause=0.05):
                pytest.fail("the lock is held twice")
