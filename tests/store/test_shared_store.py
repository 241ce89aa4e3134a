import shutil
import threading
import time

import pytest

from tasks.core.files import hash_file
from tasks.store.artifact import Artifact, DamagedError, hashes, seal
from tasks.store.bucket import Bucket
from tasks.store.leases import Lease
from tasks.store.shared_store import OBJECTS, SharedStore
from tasks.store.store import MANIFEST, fill_draft

KEY = "pad/abc"


@pytest.fixture
def here(shared_address, tmp_path) -> SharedStore:
    """One machine's copy of a shared store."""
    return SharedStore(tmp_path / "here", Bucket(shared_address))


@pytest.fixture
def there(shared_address, tmp_path) -> SharedStore:
    """Another's."""
    return SharedStore(tmp_path / "there", Bucket(shared_address))


def make(store, fill) -> Artifact:
    return store.get_or_make(KEY, fill)[0]


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "prefect.store"]


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
    raise AssertionError("rebuilt")


def test_what_one_machine_has_made_the_other_takes(here, there):
    made = make(here, fill)
    assert there.peek(KEY)
    assert make(there, fail) == made == there.find(KEY)
    assert there.path(made, "part/a.txt").read_text() == "abc"


def test_what_a_step_reads_is_fetched_when_it_is_asked_for_and_once(here, there, object_store):
    made = make(here, fill)
    assert not (there.root / KEY).exists()
    assert there.path(made, "b.txt").read_text() == "abc"
    object_store.requests.clear()
    there.path(made, "part/a.txt")
    assert there.find(KEY) == made
    assert not [line for line in object_store.requests if "objects" in line]


def test_equal_files_lie_there_once(here, bucket):
    make(here, fill)
    here.get_or_make("pad/other", fill)
    assert len(bucket.names("objects")) == 1


def test_of_two_that_make_the_same_at_once_one_makes_it(here, there):
    makers, made, entered = [], {}, threading.Event()

    def slow(store):
        def fill_slowly(folder):
            makers.append(store)
            entered.wait(0.5)
            return fill(folder)

        made[store] = make(store, fill_slowly)

    at_once(slow, here, there)
    assert len(makers) == 1
    assert made[here] == made[there]


def test_where_two_have_made_it_all_the_same_both_end_with_the_first(here, there):
    """As when a lease ran out under its holder."""

    def overtaken(folder):
        with there._draft(KEY) as draft:
            first = fill_draft(draft, KEY, lambda place: fill(place, "the first"), {})
            there.publish(KEY, draft, hashes(first), None)
        return fill(folder, "the second")

    made = make(here, overtaken)
    assert here.path(made, "b.txt").read_text() == "the first"
    assert made == there.find(KEY) == here.find(KEY)


def test_a_damaged_copy_is_fetched_again(here, object_store, caplog):
    made = make(here, fill)
    (here.root / KEY / "b.txt").write_text("abd")
    assert make(here, fail) == made
    assert here.path(made, "b.txt").read_text() == "abc"
    assert "b.txt: its sha256 differs from the manifest's; fetching it again" in caplog.text


def test_a_damaged_file_in_the_bucket_is_named_and_made_again(here, there, bucket, tmp_path, caplog):
    made = make(here, fill)
    (tmp_path / "damage").write_text("abd")
    place = f"{OBJECTS}/{made.files['b.txt'].sha256}"
    bucket.upload(tmp_path / "damage", place)
    assert make(there, fill).sha256 == made.sha256
    assert warnings(caplog) == [f"{bucket.where(place)}: altered, which is b.txt; rebuilding it"]
    assert bucket.read(place) == b"abc"
    assert here.find(KEY) == there.find(KEY)


def test_a_file_that_is_gone_from_the_bucket_is_made_again(here, there, bucket, caplog):
    made = make(here, fill)
    bucket.remove(f"{OBJECTS}/{made.files['b.txt'].sha256}")
    with pytest.raises(DamagedError, match="missing"):
        there.find(KEY)
    make(there, fill)
    assert len(warnings(caplog)) == 1
    assert there.find(KEY).sha256 == made.sha256


def test_what_was_told_of_and_is_gone_is_named(here, there, bucket):
    made = make(here, fill)
    bucket.remove(f"{KEY}/{MANIFEST}")
    with pytest.raises(DamagedError, match="run again"):
        there.path(made)
    assert here.find(KEY) is None


def test_a_failed_maker_leaves_nothing_and_no_lease(here, there):
    with pytest.raises(ZeroDivisionError):
        make(here, lambda folder: {"rows": 1 / 0})
    assert make(there, fill)


def test_an_upload_that_is_cut_off_leaves_a_whole_artifact(here, there, object_store):
    object_store.cuts = "objects/|artifact.json"
    made = make(here, fill)
    assert there.find(KEY) == made


def test_a_maker_that_was_killed_between_files_and_manifest_has_made_nothing(
    here, there, monkeypatch, bucket, tmp_path
):
    fill(tmp_path, "abc")
    (tmp_path / MANIFEST).write_text("{}")
    sha256 = hash_file(tmp_path / "b.txt")
    monkeypatch.setattr(here.bucket, "create", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        here.publish(KEY, tmp_path, {"b.txt": sha256}, None)
    assert bucket.read(f"{OBJECTS}/{sha256}") == b"abc"
    assert there.peek(KEY) is None
    assert there.find(KEY) is None


def test_a_copy_of_what_was_removed_and_made_anew_is_not_taken_for_it(here, there, bucket):
    make(here, fill)
    bucket.remove(f"{KEY}/{MANIFEST}")  # as a rule of the bucket's for what is old does
    newer = make(there, lambda folder: fill(folder, "made later"))
    assert here.path(newer, "b.txt").read_text() == "made later"


def test_of_two_that_find_the_same_damage_one_makes_it_again(here, there, bucket, tmp_path, monkeypatch):
    made = make(here, fill)
    (tmp_path / "damage").write_text("abd")
    bucket.upload(tmp_path / "damage", f"{OBJECTS}/{made.files['b.txt'].sha256}")
    shutil.rmtree(here.root / KEY)  # so that both look into the bucket
    makers, found, both = [], [], threading.Barrier(2)
    monkeypatch.setattr("tasks.store.store.logger.warning", lambda *_: both.wait(10))

    def again(store):
        def fill_slowly(folder):
            makers.append(store)
            time.sleep(0.3)
            return fill(folder) | {"rows": 2}

        found.append(make(store, fill_slowly))

    at_once(again, here, there)
    assert len(makers) == 1
    assert found[0] == found[1] == here.find(KEY)


def test_a_key_that_another_machine_holds_is_not_free(here, there):
    with here.held(KEY) as check:
        check()
        with there.held(KEY, wait=False) as other:
            assert other is None
    with there.held(KEY, wait=False) as other:
        assert other


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


@pytest.mark.parametrize(
    "name", ["../../outside.txt", "/tmp/outside.txt", "part/../../../outside.txt", "..\\outside.txt"]
)
def test_a_manifest_that_names_files_elsewhere_is_refused_and_writes_nothing(here, there, bucket, tmp_path, name):
    made = make(here, fill)
    forged = Artifact.model_construct(key=KEY, files={name: made.files["b.txt"]}, meta={})
    bucket.replace(f"{KEY}/{MANIFEST}", seal(forged), bucket.tag(f"{KEY}/{MANIFEST}"))
    before = set(tmp_path.rglob("outside*"))
    with pytest.raises(DamagedError, match="is not a relative path"):
        there.find(KEY)
    assert set(tmp_path.rglob("outside*")) == before
    assert not [path for path in there.root.rglob("*") if path.is_file() and "locks" not in path.parts]
    assert make(there, fill).sha256 == made.sha256  # rebuilt
