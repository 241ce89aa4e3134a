import shutil
import threading
import time
from collections import Counter

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
    """One machine's local copy of a shared store."""
    return SharedStore(tmp_path / "here", Bucket(shared_address))


@pytest.fixture
def there(shared_address, tmp_path) -> SharedStore:
    """Another machine's local copy of the same store."""
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
    """Do the same work in several stores concurrently."""
    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def fail(_folder) -> dict:
    raise AssertionError("rebuilt")


def test_an_artifact_made_on_one_machine_is_used_on_another(here, there):
    made = make(here, fill)
    assert there.peek(KEY)
    assert make(there, fail) == made == there.find(KEY)
    assert there.path(made, "part/a.txt").read_text() == "abc"


def test_an_artifact_is_downloaded_once_and_only_when_it_is_read(here, there, object_store):
    made = make(here, fill)
    assert not (there.root / KEY).exists()
    assert there.path(made, "b.txt").read_text() == "abc"
    object_store.requests.clear()
    there.path(made, "part/a.txt")
    assert there.find(KEY) == made
    assert not [line for line in object_store.requests if "objects" in line]


def test_equal_files_are_stored_once(here, bucket):
    make(here, fill)
    here.get_or_make("pad/other", fill)
    assert len(bucket.names("objects")) == 1


def test_two_machines_at_once_build_an_artifact_only_once(here, there):
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


def test_if_two_machines_build_an_artifact_both_use_the_first(here, there):
    """This happens if a lease expires during the build."""

    def overtaken(folder):
        with there._draft(KEY) as draft:
            first = fill_draft(draft, KEY, lambda place: fill(place, "the first"), {})
            there.publish(KEY, draft, hashes(first), None)
        return fill(folder, "the second")

    made = make(here, overtaken)
    assert here.path(made, "b.txt").read_text() == "the first"
    assert made == there.find(KEY) == here.find(KEY)


def test_a_damaged_local_copy_is_downloaded_again(here, object_store, caplog):
    made = make(here, fill)
    (here.root / KEY / "b.txt").write_text("abd")
    assert make(here, fail) == made
    assert here.path(made, "b.txt").read_text() == "abc"
    assert "b.txt: its sha256 differs from the manifest's; fetching it again" in caplog.text


def test_a_damaged_file_in_the_bucket_is_reported_and_rebuilt(here, there, bucket, tmp_path, caplog):
    made = make(here, fill)
    (tmp_path / "damage").write_text("abd")
    place = f"{OBJECTS}/{made.files['b.txt'].sha256}"
    bucket.upload(tmp_path / "damage", place)
    assert make(there, fill).sha256 == made.sha256
    assert warnings(caplog) == [f"{bucket.where(place)}: altered, which is b.txt; rebuilding it"]
    assert bucket.read(place) == b"abc"
    assert here.find(KEY) == there.find(KEY)


def test_a_file_missing_from_the_bucket_is_reported_and_rebuilt(here, there, bucket, caplog):
    made = make(here, fill)
    bucket.remove(f"{OBJECTS}/{made.files['b.txt'].sha256}")
    with pytest.raises(DamagedError, match="missing"):
        there.find(KEY)
    make(there, fill)
    assert len(warnings(caplog)) == 1
    assert there.find(KEY).sha256 == made.sha256


def test_reading_a_deleted_artifact_is_an_error(here, there, bucket):
    made = make(here, fill)
    bucket.remove(f"{KEY}/{MANIFEST}")
    with pytest.raises(DamagedError, match="run again"):
        there.path(made)
    assert here.find(KEY) is None


def test_an_artifact_can_be_built_after_another_machine_failed(here, there):
    with pytest.raises(ZeroDivisionError):
        make(here, lambda folder: {"rows": 1 / 0})
    assert not list((here.root / "pad").iterdir())
    with there.held(KEY, wait=False) as check:
        assert check, "its lease is released"
    assert make(there, fill) == here.find(KEY)


def test_an_artifact_is_complete_despite_interrupted_uploads(here, there, object_store):
    object_store.cuts = "objects/|artifact.json"
    made = make(here, fill)
    uploads = Counter(line for line in object_store.requests if line.startswith("PUT") and "locks/" not in line)
    assert sorted(uploads.values()) == [2, 2], "the file and the manifest, both uploaded again"
    assert there.find(KEY) == made


def test_uploaded_files_without_a_manifest_are_not_an_artifact(here, there, monkeypatch, bucket, tmp_path):
    fill(tmp_path, "abc")
    (tmp_path / MANIFEST).write_text("{}")
    sha256 = hash_file(tmp_path / "b.txt")
    monkeypatch.setattr(here.bucket, "create", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        here.publish(KEY, tmp_path, {"b.txt": sha256}, None)
    assert bucket.read(f"{OBJECTS}/{sha256}") == b"abc"
    assert there.peek(KEY) is None
    assert there.find(KEY) is None


def test_a_local_copy_of_a_replaced_artifact_is_not_used(here, there, bucket):
    make(here, fill)
    bucket.remove(f"{KEY}/{MANIFEST}")  # as a lifecycle rule of the bucket does
    newer = make(there, lambda folder: fill(folder, "made later"))
    assert here.path(newer, "b.txt").read_text() == "made later"


def test_two_machines_that_find_the_same_damage_rebuild_the_artifact_once(here, there, bucket, tmp_path, monkeypatch):
    made = make(here, fill)
    (tmp_path / "damage").write_text("abd")
    bucket.upload(tmp_path / "damage", f"{OBJECTS}/{made.files['b.txt'].sha256}")
    shutil.rmtree(here.root / KEY)  # so that both read from the bucket
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


def test_a_key_held_by_another_machine_is_not_free(here, there):
    with here.held(KEY) as check:
        check()
        with there.held(KEY, wait=False) as other:
            assert other is None
    with there.held(KEY, wait=False) as other:
        assert other


def test_a_run_folder_is_uploaded_to_the_bucket(here, bucket):
    folder = here.root / "runs" / "20261126T000000Z-lucky-cat"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.svg").write_text("<svg/>")
    here.share_folder(folder)
    assert bucket.read("runs/20261126T000000Z-lucky-cat/figures/a.svg") == b"<svg/>"


def test_a_lease_that_cannot_be_released_is_logged(bucket, object_store, caplog):
    lease = Lease(bucket, KEY, 0.6)
    assert lease.take(KEY)
    object_store.refusing = True
    lease.free()
    assert "the others wait for 1 s" in caplog.text


@pytest.mark.parametrize(
    "name", ["../../outside.txt", "/tmp/outside.txt", "part/../../../outside.txt", "..\\outside.txt"]
)
def test_a_manifest_with_paths_outside_its_folder_is_refused(here, there, bucket, tmp_path, name):
    made = make(here, fill)
    forged = Artifact.model_construct(key=KEY, files={name: made.files["b.txt"]}, meta={})
    bucket.replace(f"{KEY}/{MANIFEST}", seal(forged), bucket.tag(f"{KEY}/{MANIFEST}"))
    before = set(tmp_path.rglob("outside*"))
    with pytest.raises(DamagedError, match="is not a relative path"):
        there.find(KEY)
    assert set(tmp_path.rglob("outside*")) == before
    assert not [path for path in there.root.rglob("*") if path.is_file() and "locks" not in path.parts]
    assert make(there, fill).sha256 == made.sha256  # rebuilt
