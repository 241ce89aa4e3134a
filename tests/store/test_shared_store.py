import shutil
import threading
import time

import pytest

from tasks.core.files import hash_file
from tasks.store.artifact import DamagedError
from tasks.store.bucket import Bucket
from tasks.store.leases import Lease
from tasks.store.shared_store import SharedStore, object_name
from tasks.store.store import MANIFEST, Store

KEY = "pad/abc"


@pytest.fixture
def here(shared_address, tmp_path) -> Store:
    """One machine's copy of a shared store."""
    return Store(tmp_path / "here", SharedStore(Bucket(shared_address)))


@pytest.fixture
def there(shared_address, tmp_path) -> Store:
    """Another's."""
    return Store(tmp_path / "there", SharedStore(Bucket(shared_address)))


def fill(folder, text="abc") -> dict:
    (folder / "part").mkdir()
    (folder / "part" / "a.txt").write_text(text)
    (folder / "b.txt").write_text(text)
    return {"rows": 1}


def at_once(work, *stores) -> None:
    """Do the same in each of several stores, side by side."""
    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def fail(_folder) -> dict:
    raise AssertionError("made again")


def test_what_one_machine_has_made_the_other_takes(here, there):
    made = here.make(KEY, fill, warn=pytest.fail)
    assert there.exists(KEY)
    assert there.make(KEY, fail, warn=pytest.fail) == made == there.find(KEY)
    assert there.path(made, "part/a.txt").read_text() == "abc"


def test_what_a_step_reads_is_fetched_when_it_is_asked_for_and_once(here, there, object_store):
    made = here.make(KEY, fill, warn=pytest.fail)
    assert not (there.root / KEY).exists()
    assert there.path(made, "b.txt").read_text() == "abc"
    object_store.requests.clear()
    there.path(made, "part/a.txt")
    assert there.find(KEY) == made
    assert not [line for line in object_store.requests if "objects" in line]


def test_equal_files_lie_there_once(here, bucket):
    here.make(KEY, fill, warn=pytest.fail)
    here.make("pad/other", fill, warn=pytest.fail)
    assert len(bucket.names("objects")) == 1


def test_of_two_that_make_the_same_at_once_one_makes_it(here, there):
    makers, made, entered = [], {}, threading.Event()

    def slow(store):
        def fill_slowly(folder):
            makers.append(store)
            entered.wait(0.5)
            return fill(folder)

        made[store] = store.make(KEY, fill_slowly, warn=pytest.fail)

    at_once(slow, here, there)
    assert len(makers) == 1
    assert made[here] == made[there]


def test_where_two_have_made_it_all_the_same_both_end_with_the_first(here, there):
    """As when a lease ran out under its holder."""

    def overtaken(folder):
        first = Store(there.root, SharedStore(there.shared.bucket))
        with first.locked("pad/elsewhere"):
            first._write(KEY, lambda place: fill(place, "the first"), None)
        return fill(folder, "the second")

    made = here.make(KEY, overtaken, warn=pytest.fail)
    assert here.path(made, "b.txt").read_text() == "the first"
    assert made == there.find(KEY) == here.find(KEY)


def test_a_damaged_copy_is_fetched_again(here, object_store, caplog):
    made = here.make(KEY, fill, warn=pytest.fail)
    (here.root / KEY / "b.txt").write_text("abd")
    assert here.make(KEY, fail, warn=pytest.fail) == made
    assert here.path(made, "b.txt").read_text() == "abc"
    assert "b.txt: sha256 differs from its record; fetching it again" in caplog.text


def test_a_damaged_file_in_the_bucket_is_named_and_made_again(here, there, bucket, tmp_path):
    made = here.make(KEY, fill, warn=pytest.fail)
    (tmp_path / "damage").write_text("abd")
    place = object_name(made.files["b.txt"].sha256)
    bucket.upload(tmp_path / "damage", place)
    said = []
    assert there.make(KEY, fill, warn=said.append).sha256 == made.sha256
    assert said == [f"{bucket.where(place)}: altered, which is b.txt; making it again"]
    assert bucket.read(place) == b"abc"
    assert here.find(KEY) == there.find(KEY)


def test_a_file_that_is_gone_from_the_bucket_is_made_again(here, there, bucket):
    made = here.make(KEY, fill, warn=pytest.fail)
    bucket.remove(object_name(made.files["b.txt"].sha256))
    with pytest.raises(DamagedError, match="missing"):
        there.find(KEY)
    said = []
    there.make(KEY, fill, warn=said.append)
    assert len(said) == 1
    assert there.find(KEY).sha256 == made.sha256


def test_what_was_told_of_and_is_gone_is_named(here, there, bucket):
    made = here.make(KEY, fill, warn=pytest.fail)
    bucket.remove(f"{KEY}/{MANIFEST}")
    with pytest.raises(DamagedError, match="run again"):
        there.path(made)
    assert here.find(KEY) is None


def test_a_failed_maker_leaves_nothing_and_no_lease(here, there):
    with pytest.raises(ZeroDivisionError):
        here.make(KEY, lambda folder: {"rows": 1 / 0}, warn=pytest.fail)
    assert there.make(KEY, fill, warn=pytest.fail)


def test_an_upload_that_is_cut_off_leaves_a_whole_artifact(here, there, object_store):
    object_store.cuts = "objects/|artifact.json"
    made = here.make(KEY, fill, warn=pytest.fail)
    assert there.find(KEY) == made


def test_a_maker_that_was_killed_between_files_and_manifest_has_made_nothing(
    here, there, monkeypatch, bucket, tmp_path
):
    fill(tmp_path, "abc")
    sha256 = hash_file(tmp_path / "b.txt")
    monkeypatch.setattr(here.shared.bucket, "create", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        here.shared.publish(KEY, b"{}", tmp_path, {"b.txt": sha256}, None)
    assert bucket.read(object_name(sha256)) == b"abc"
    assert not there.exists(KEY)
    assert there.find(KEY) is None


def test_a_copy_of_what_was_removed_and_made_anew_is_not_taken_for_it(here, there, bucket):
    here.make(KEY, fill, warn=pytest.fail)
    bucket.remove(f"{KEY}/{MANIFEST}")  # as a rule of the bucket's for what is old does
    anew = there.make(KEY, lambda folder: fill(folder, "made anew"), warn=pytest.fail)
    assert here.path(anew, "b.txt").read_text() == "made anew"


def test_of_two_that_find_the_same_rot_one_makes_it_again(here, there, bucket, tmp_path):
    made = here.make(KEY, fill, warn=pytest.fail)
    (tmp_path / "damage").write_text("abd")
    bucket.upload(tmp_path / "damage", object_name(made.files["b.txt"].sha256))
    shutil.rmtree(here.root / KEY)  # so that both look into the bucket
    makers, found, both = [], [], threading.Barrier(2)

    def again(store):
        def fill_slowly(folder):
            makers.append(store)
            time.sleep(0.3)
            return fill(folder) | {"rows": 2}

        def warn(_):
            both.wait(10)

        found.append(store.make(KEY, fill_slowly, warn=warn))

    at_once(again, here, there)
    assert len(makers) == 1
    assert found[0] == found[1] == here.find(KEY)


def test_a_key_that_another_machine_holds_is_not_free(here, there):
    with here.held(KEY) as check:
        check()
        with there.held_if_free(KEY) as free:
            assert not free
    with there.held_if_free(KEY) as free:
        assert free


def test_a_folder_of_a_run_is_put_where_all_can_see_it(here, bucket):
    folder = here.root / "runs" / "20261126T000000Z-lucky-cat"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.svg").write_text("<svg/>")
    here.share_folder(folder)
    assert bucket.read("runs/20261126T000000Z-lucky-cat/figures/a.svg") == b"<svg/>"


def test_a_lease_is_let_go_where_the_store_fails_at_the_end(bucket, object_store, caplog):
    lease = Lease(bucket, KEY, 0.6)
    assert lease.take(KEY)
    object_store.refusing = True
    lease.free()
    assert "the others wait for 1 s" in caplog.text
