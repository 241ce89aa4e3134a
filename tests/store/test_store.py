import json
import threading
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
def shop(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_an_artifact_is_made_once_and_found_whole(shop):
    made, is_cached = shop.get_or_make(KEY, fill)
    assert not is_cached
    assert shop.get_or_make(KEY, never) == (made, True)
    assert made == shop.find(KEY)
    assert made.meta == {"rows": 2}
    assert made.size == 8
    assert shop.path(made, "deep/labels.txt").read_text() == "0 1"


def test_the_hash_is_of_the_content_not_of_the_meta(shop):
    first = make(shop)
    second = make(shop, lambda folder: fill(folder) | {"seconds": 3.5}, refresh=True)
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
def test_a_damaged_artifact_is_named_and_made_again(shop, damage, caplog):
    made = make(shop)
    damage(shop.root / KEY)
    with pytest.raises(DamagedError):
        shop.find(KEY)
    assert make(shop) == made
    assert len(caplog.messages) == 1
    assert str(shop.root / KEY) in caplog.messages[0]
    assert shop.find(KEY) == made


def test_every_byte_of_the_manifest_counts(shop):
    made = make(shop)
    path = shop.root / KEY / MANIFEST
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            shop.find(KEY)
    path.write_bytes(whole)
    assert shop.find(KEY) == made


def test_a_failed_maker_leaves_nothing_behind(shop):
    def fail(folder: Path) -> dict:
        fill(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        make(shop, fail)
    assert shop.find(KEY) is None
    assert list((shop.root / "pad").iterdir()) == []


def test_drafts_of_a_killed_maker_are_swept(shop):
    left = shop.root / "pad" / ".abc.x1y2_z3w.draft"
    left.mkdir(parents=True)
    (left / "half").write_text("...")
    make(shop)
    assert not left.exists()


def test_what_only_begins_like_a_draft_stays(shop):
    note = shop.root / "pad" / ".abc.notes" / "mine.txt"
    note.parent.mkdir(parents=True)
    note.write_text("keep me")
    make(shop)
    assert note.read_text() == "keep me"


def test_who_waits_for_another_says_so(shop, caplog):
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with shop.locked(KEY):
            held.set()
            go_on.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    threading.Timer(0.2, go_on.set).start()
    with caplog.at_level("INFO", "prefect.locks"):
        make(shop)
    holder.join(10)
    assert f"{KEY}: another run is working on it; waiting until it is done" in caplog.text


def test_a_file_that_cannot_be_read_is_rot_and_named(shop, monkeypatch):
    made = make(shop)

    def fail(path):
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("tasks.store.store.hash_file", fail)
        with pytest.raises(DamagedError, match=r"cannot be read \(Input/output error\)"):
            shop.find(KEY)
    assert shop.find(KEY) == made


def test_two_makers_at_once_make_it_once(shop):
    made = []

    def slow(folder: Path) -> dict:
        made.append(threading.get_ident())
        threading.Event().wait(0.3)
        return fill(folder)

    threads = [threading.Thread(target=make, args=(shop, slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_a_store_that_is_a_file_is_named(tmp_path):
    (tmp_path / "store").write_text("I am a file")
    with pytest.raises(StoreError, match=r"store.*cannot write here"):
        make(Store(tmp_path / "store"))


def test_the_manifest_lists_every_file_with_its_hash(shop):
    make(shop)
    content = json.loads((shop.root / KEY / MANIFEST).read_text())["content"]
    assert set(content["files"]) == {"tokens.txt", "deep/labels.txt"}
    assert content["files"]["tokens.txt"]["size"] == 5
