import os
import subprocess
import sys
import threading
import time

import pytest

from tasks.core.errors import StoreError
from tasks.store.leases import Lease, LeaseLostError, leased
from tasks.store.shared_store import SharedStore

KEY = "pad/abc"


@pytest.fixture(autouse=True)
def short_terms(monkeypatch):
    monkeypatch.setenv("ARTIFACTS_LEASE_SECONDS", "0.6")


def test_a_live_lease_does_not_expire_and_the_next_holder_waits(bucket, caplog):
    order = []

    def second():
        with leased(bucket, KEY):
            order.append("second")

    with leased(bucket, KEY) as lease:
        other = threading.Thread(target=second)
        other.start()
        time.sleep(1.5)  # more than two terms: a live holder's lease does not expire
        lease.check()
        order.append("first")
    other.join(20)
    assert order == ["first", "second"]
    assert "taking over" not in caplog.text, "the second waits for the release, not for the end of the term"


def test_without_wait_a_held_lease_is_refused_at_once(bucket):
    with leased(bucket, KEY), leased(bucket, KEY, wait=False) as none:
        assert none is None
    with leased(bucket, KEY, wait=False) as free:
        assert free is not None


def test_the_lease_of_a_killed_holder_is_taken_over_after_its_term(bucket, caplog):
    killed = Lease(bucket, KEY, 0.6)
    assert killed.take(KEY)  # and is never renewed
    began = time.monotonic()
    with leased(bucket, KEY):
        assert time.monotonic() - began >= 0.6
    assert f"{KEY}: {killed.holder} has given no sign of life" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="folders are identified by /proc")
def test_the_lease_of_a_killed_local_process_is_taken_over_without_waiting(bucket, tmp_path, caplog):
    code = (
        "import sys, time; from pathlib import Path; from tasks.store.bucket import Bucket;"
        "from tasks.store.shared_store import SharedStore; store = SharedStore(Path(sys.argv[1]), Bucket(sys.argv[2]));"
        "held = store.held(sys.argv[3]); held.__enter__(); print('held', flush=True); time.sleep(600)"
    )
    here, elsewhere = (SharedStore(tmp_path / name, bucket) for name in ("here", "elsewhere"))
    command = [sys.executable, "-c", code, str(here.root), bucket.address, KEY]
    told = os.environ | {"ARTIFACTS_LEASE_SECONDS": "600"}
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with here.held(KEY, wait=False) as check:
            assert check is None
        holder.kill()
    with elsewhere.held(KEY, wait=False) as check:
        assert check is None
    with here.held(KEY, wait=False) as check:
        assert check is not None
    assert "has ended; taking over" in caplog.text


def test_an_expired_lease_is_taken_over_without_waiting(bucket):
    killed = Lease(bucket, KEY, 0.6)
    assert killed.take(KEY)  # and is never renewed
    time.sleep(3)  # the object store's times are in whole seconds
    with leased(bucket, KEY, wait=False) as lease:
        assert lease is not None


def test_a_paused_holder_notices_that_its_lease_was_taken_over(bucket):
    still = Lease(bucket, KEY, 0.6)
    assert still.take(KEY)
    with leased(bucket, KEY) as lease:
        with pytest.raises(LeaseLostError, match="another worker has taken over"):
            still.check()
        still.free()  # does not free the other holder's lease
        lease.check()


def test_many_waiters_hold_the_lease_one_at_a_time(bucket):
    at_once, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal at_once, most
        with leased(bucket, KEY):
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.05)
            with lock:
                at_once -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (most, at_once) == (1, 0)


def test_a_lease_is_renewed_despite_failed_requests(bucket, object_store):
    with leased(bucket, KEY) as lease:
        object_store.every = 4
        time.sleep(1.2)
        assert object_store.failures >= 1
        lease.check()


def test_an_unreadable_lease_is_reported(bucket):
    bucket.create(f"locks/{KEY}.lease", b"[1")
    with pytest.raises(StoreError, match=r"locks/pad/abc.lease: not a lease of ours"), leased(bucket, KEY):
        pass


def test_a_lease_stays_valid_if_the_response_to_its_renewal_was_lost(bucket, object_store):
    lease = Lease(bucket, KEY, 60)
    assert lease.take(KEY)
    unseen = lease.bucket.replace(lease.name, lease._record(), lease.tag)
    assert unseen not in (None, lease.tag)
    lease.check()
    lease.check()


def test_an_invalid_lease_term_is_reported(bucket, monkeypatch):
    for named in ("a minute", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("ARTIFACTS_LEASE_SECONDS", named)
        with pytest.raises(StoreError, match=f"ARTIFACTS_LEASE_SECONDS={named}: expected seconds"), leased(bucket, KEY):
            pass
