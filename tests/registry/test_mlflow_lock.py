import contextlib
import threading
import time

import pytest

from tasks.registry.client import registry
from tasks.registry.mlflow_lock import PREFIX, claimed, claims
from tests.support.servers import postgres, programs_of_postgres


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.machines)])
def client(request, tmp_path_factory):
    """A registry, the store's own or one on PostgreSQL, that knows one model."""
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


def test_two_never_hold_a_claim_together(client):
    inside, most, done = 0, 0, []

    def decide() -> None:
        nonlocal inside, most
        for _ in range(3):
            with claimed(client, "films", pause=0.02):
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


def test_a_claim_goes_with_whoever_fails_under_it(client):
    def fail() -> None:
        with claimed(client, "films"):
            assert len(claims(client, "films")) == 1
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert claims(client, "films") == set()


def test_a_claim_of_a_process_that_was_killed_is_taken_away_after_its_lease(client, caplog):
    client.set_registered_model_tag("films", f"{PREFIX}dead", "elsewhere")
    started = time.monotonic()
    with claimed(client, "films", lease=0.5, pause=0.05):
        assert len(claims(client, "films")) == 1
    assert time.monotonic() - started >= 0.5
    assert "who began to decide on it has ended in the middle" in caplog.text
    assert claims(client, "films") == set()


def test_whoever_waits_for_ever_is_told(client, monkeypatch):
    from tasks.core.errors import RegistryError
    from tasks.evaluation import claims as room

    monkeypatch.setattr(room, "PATIENCE", 0.2)
    with claimed(client, "films"):
        with pytest.raises(RegistryError, match="films: others have decided on it for 0 s; run the same again"):
            with claimed(client, "films", pause=0.05):
                pytest.fail("two hold it")
