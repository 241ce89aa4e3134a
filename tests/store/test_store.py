import json
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.core.errors import StoreError
from tasks.store.artifact import DamagedError
from tasks.store.store import MANIFEST, Store

KEY = "pad/abc"


def fill(folder: Path) -> dict:
    (folder / "tokens.txt").write_text("1 2 3")
    (folder / "deep").mkdir()
    (folder / "deep" / "labels.txt").write_text("0 1")
    return {"rows": 2}


def never(_folder: Path) -> dict:
    raise AssertionError("rebuilt")


def make(store: Store, fill=fill, **options):
    return store.get_or_make(KEY, fill, **options)[0]


@pytest.fixture
def opened(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_an_artifact_is_built_once_and_then_cached(opened):
    made, is_cached = opened.get_or_make(KEY, fill)
    assert not is_cached
    assert opened.get_or_make(KEY, never) == (made, True)
    assert made == opened.find(KEY)
    assert made.meta == {"rows": 2}
    assert opened.path(made, "deep/labels.txt").read_text() == "0 1"


def test_the_hash_covers_the_files_but_not_the_metadata(opened):
    first = make(opened)
    second = make(opened, lambda folder: fill(folder) | {"seconds": 3.5}, refresh=True)
    assert first.sha256 == second.sha256
    assert first != second


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "tokens.txt").write_text("1 2 4"),
        lambda folder: (folder / "tokens.txt").write_text("1 2"),
        lambda folder: (folder / "tokens.txt").unlink(),
        lambda folder: (folder / "foreign.txt").write_text("?"),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_text("{"),
        lambda folder: (folder / MANIFEST).write_text(
            (folder / MANIFEST).read_text().replace('"rows": 2', '"rows": 9')
        ),
    ],
    ids=["byte", "truncated", "removed", "added", "manifest removed", "manifest torn", "manifest altered"],
)
def test_a_damaged_artifact_is_reported_and_rebuilt(opened, damage, caplog):
    made = make(opened)
    damage(opened.root / KEY)
    with pytest.raises(DamagedError):
        opened.find(KEY)
    assert make(opened) == made
    assert len(caplog.messages) == 1
    assert str(opened.root / KEY) in caplog.messages[0]
    assert opened.find(KEY) == made


def test_a_change_to_any_byte_of_the_manifest_is_detected(opened):
    made = make(opened)
    path = opened.root / KEY / MANIFEST
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            opened.find(KEY)
    path.write_bytes(whole)
    assert opened.find(KEY) == made


def test_a_failed_build_leaves_nothing_behind(opened):
    def fail(folder: Path) -> dict:
        fill(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        make(opened, fail)
    assert opened.find(KEY) is None
    assert list((opened.root / "pad").iterdir()) == []


def test_drafts_of_a_killed_run_are_removed(opened):
    left = opened.root / "pad" / ".abc.x1y2_z3w.draft"
    left.mkdir(parents=True)
    (left / "half").write_text("...")
    make(opened)
    assert not left.exists()


def test_a_hidden_folder_that_is_not_a_draft_is_not_removed(opened):
    note = opened.root / "pad" / ".abc.notes" / "mine.txt"
    note.parent.mkdir(parents=True)
    note.write_text("keep me")
    make(opened)
    assert note.read_text() == "keep me"


def test_waiting_for_another_run_is_logged(opened, caplog):
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with opened.locked(KEY):
            held.set()
            go_on.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    threading.Timer(0.2, go_on.set).start()
    with caplog.at_level("INFO", "prefect.locks"):
        make(opened)
    holder.join(10)
    assert f"{KEY}: another run is working on it; waiting until it is done" in caplog.text


def test_an_unreadable_file_counts_as_damage(opened, monkeypatch):
    made = make(opened)

    def fail(path):
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("tasks.store.store.hash_file", fail)
        with pytest.raises(DamagedError, match=r"cannot be read \(Input/output error\)"):
            opened.find(KEY)
    assert opened.find(KEY) == made


def test_concurrent_runs_build_an_artifact_only_once(opened):
    made = []

    def slow(folder: Path) -> dict:
        made.append(threading.get_ident())
        threading.Event().wait(0.3)
        return fill(folder)

    threads = [threading.Thread(target=make, args=(opened, slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_a_store_path_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "store").write_text("I am a file")
    with pytest.raises(StoreError, match=r"store.*cannot write here"):
        make(Store(tmp_path / "store"))


def test_the_manifest_lists_every_file_with_its_size_and_hash(opened):
    make(opened)
    content = json.loads((opened.root / KEY / MANIFEST).read_text())["content"]
    assert content["files"] == {
        name: {"size": len(text), "sha256": sha256(text).hexdigest()}
        for name, text in (("tokens.txt", b"1 2 3"), ("deep/labels.txt", b"0 1"))
    }
