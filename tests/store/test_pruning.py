import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.core.errors import StoreError
from tasks.core.files import lock_file, remove_unfinished, written_whole
from tasks.store.inventory import DAY, announce_use, list_artifacts, live_uses
from tasks.store.pruning import prune
from tasks.store.store import MANIFEST, Store, mark_used

LONG_AGO = time.time() - 100 * DAY


def write_old(path: Path, content: str = "") -> Path:
    """Write a file and its folders with an old modification time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for part in (path, path.parent):
        os.utime(part, (LONG_AGO, LONG_AGO))
    return path


def test_only_artifacts_without_recent_use_are_removed(old_store):
    mark_used(old_store / "pad" / "used")
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/unused"]
    assert [path.name for path in (old_store / "pad").iterdir()] == ["used"]
    assert prune(old_store, days=9).artifacts == []


def test_taking_an_artifact_from_the_cache_counts_as_use(old_store):
    taken, _ = Store(old_store).get_or_make("pad/unused", lambda _folder: pytest.fail("rebuilt"))
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/used"]
    assert Store(old_store).find("pad/unused") == taken


def test_artifacts_that_a_live_run_may_use_are_not_removed(old_store):
    script = (
        "import sys, time; from pathlib import Path; from tasks.store.inventory import announce_use;"
        "announce_use(Path(sys.argv[1])); print('here', flush=True); time.sleep(60)"
    )
    live = subprocess.Popen([sys.executable, "-c", script, str(old_store)], stdout=subprocess.PIPE, text=True)
    try:
        assert live.stdout.readline() == "here\n"
        assert live_uses(old_store)[0] < time.time()
        mark_used(old_store / "pad" / "used")  # as the live run does when it uses a cached artifact
        assert [entry["key"] for entry in prune(old_store, days=0).artifacts] == ["pad/unused"]
    finally:
        live.kill()
        live.wait(10)
        live.stdout.close()
    # The lock of a killed process is free.
    assert [entry["key"] for entry in prune(old_store, days=0).artifacts] == ["pad/used"]
    assert not list((old_store / "locks" / "in-use").iterdir())


def test_old_checkpoints_are_removed(old_store):
    folder = old_store / "checkpoints" / "train" / "abc"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    prune(old_store, days=1)
    assert folder.exists()
    os.utime(folder / "state.json", (0, 0))
    prune(old_store, days=1)
    assert not folder.exists()


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_foreign_folders_are_never_touched(tmp_path):
    """For example with `--store .` in a checkout, or `--store ~`."""
    home = tmp_path / "home"
    for name in (
        "tasks/store/store.py",
        "exported/1/saved_model.pb",
        "exported/1/.hidden.abcdefgh.draft/theirs.txt",
        "photos/.album.abcdefgh.draft/cat.jpg",
        "photos/2019/cat.jpg",
        "runs/marathon/times.txt",
        "comparisons/prices/shops.csv",
        "comparisons/20200101T000000Z-wise-owl/my-notes.txt",
        "runs/20200101T000000Z-lucky-cat/my-notes.txt",
        "checkpoints/chess/game/board.txt",
        "locks/door.lock",
        "locks/in-use.txt",
    ):
        write_old(home / name, f"of {name}")
    write_old(home / "pad" / "abc" / MANIFEST, '{"name": "someone else\'s kind of artifact"}')
    (home / "link").mkdir()
    (home / "link" / "abc").symlink_to(home / "photos" / "2019")
    before = contents(home)
    pruned = prune(home, days=0)
    assert contents(home).items() >= before.items()
    assert (home / "link" / "abc").is_symlink()
    assert (pruned.artifacts, pruned.removed) == ([], [])


def test_an_artifact_with_a_foreign_file_is_not_removed(old_store):
    note = write_old(old_store / "pad" / "unused" / "my-notes.txt", "keep me")
    pruned = prune(old_store, days=9)
    assert [entry["key"] for entry in pruned.artifacts] == ["pad/used"]
    assert note.read_text() == "keep me"


def test_a_file_that_is_added_while_others_are_removed_stays(old_store, monkeypatch):
    note = old_store / "pad" / "used" / "my-notes.txt"
    monkeypatch.setattr(
        shutil, "rmtree", lambda folder, remove=shutil.rmtree: (note.write_text("keep me"), remove(folder))
    )
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/unused"]
    assert note.read_text() == "keep me"


def test_an_artifact_that_was_removed_in_part_is_removed_by_the_next_pruning(old_store, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, "not now", str(folder))

    mark_used(old_store / "pad" / "used")
    with monkeypatch.context() as failing:
        failing.setattr(shutil, "rmtree", refuse)
        with pytest.raises(StoreError, match="not now"):
            prune(old_store, days=9)
    (left,) = (old_store / "pad").glob(".unused.*.removed")
    for path in (*left.iterdir(), left):
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert prune(old_store, days=9).removed == [f"pad/{left.name}"]
    assert not left.exists()


def test_an_artifact_with_the_manifest_of_another_key_is_not_removed(old_store):
    (old_store / "pad" / "unused").rename(old_store / "pad" / "renamed")
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/used"]
    assert (old_store / "pad" / "renamed" / "a.txt").exists()


def test_a_locked_artifact_is_skipped_without_waiting(old_store):
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with Store(old_store).locked("pad/unused"):
            held.set()
            go_on.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(10)
        pruned = prune(old_store, days=9)
    finally:
        go_on.set()
        holder.join(10)
    assert [entry["key"] for entry in pruned.artifacts] == ["pad/used"]
    assert pruned.held == ["pad/unused"]
    assert Store(old_store).find("pad/unused")


def test_leftover_drafts_of_killed_runs_are_removed(old_store):
    lock_file(old_store, "pad/gone").touch()
    lock_file(old_store, "pad/busy").touch()
    for name in ("pad/.gone.abcdefgh.draft", "pad/.gone.12345678.replaced", "pad/.unused.0a1b2c3d.removed"):
        write_old(old_store / name / "half.txt")
    write_old(old_store / "runs" / ".20260101T000000Z-x.abcdefgh.draft" / "half.txt")
    (old_store / "runs" / ".20260101T000000Z-y.abcdefgh.draft").mkdir()
    (old_store / "pad" / ".busy.abcdefgh.draft").mkdir()
    with Store(old_store).locked("pad/busy"):
        pruned = prune(old_store, days=300)
    assert sorted(pruned.removed) == [
        "pad/.gone.12345678.replaced",
        "pad/.gone.abcdefgh.draft",
        "pad/.unused.0a1b2c3d.removed",
        "runs/.20260101T000000Z-x.abcdefgh.draft",
    ]
    assert sorted(path.name for path in (old_store / "pad").glob(".*")) == [".busy.abcdefgh.draft"]
    assert (old_store / "runs" / ".20260101T000000Z-y.abcdefgh.draft").exists()


def test_old_runs_are_removed_except_the_latest_and_recently_used_ones(old_store):
    latest = old_store / "runs" / "20261101T000000Z-lucky-cat"
    for run in (
        latest,
        old_store / "runs" / "20200101T000000Z-old-dog",
        old_store / "runs" / "20200102T000000Z-older-cow",
    ):
        for name in ("figures/history.svg", "config.json", "metrics.json", "report.html", "label_issues.csv"):
            write_old(run / name, "{}")
    os.utime(old_store / "runs" / "20200102T000000Z-older-cow" / "metrics.json")  # as a service with its model does
    pruned = prune(old_store, days=30)
    assert pruned.removed == ["runs/20200101T000000Z-old-dog"]
    assert sorted(path.name for path in (old_store / "runs").iterdir()) == [
        "20200102T000000Z-older-cow",
        "20261101T000000Z-lucky-cat",
        "latest",
    ]


def test_old_comparisons_are_removed_but_not_artifacts_of_the_latest(old_store):
    place = old_store / "comparisons"
    named = {"members": [{"runs": [{"artifacts": {"pad": {"key": "pad/unused", "sha256": "0"}}}]}]}
    for name in ("20200101T000000Z-old-dog", "20261102T000000Z-wise-owl"):
        for file in ("figures/learning_curves.svg", "config.json", "comparison.html"):
            write_old(place / name / file, "{}")
        write_old(place / name / "comparison.json", json.dumps(named))
    (place / "latest").symlink_to("20261102T000000Z-wise-owl")
    users = {entry["key"]: entry["runs"] for entry in list_artifacts(old_store)}
    assert users["pad/unused"] == ["20200101T000000Z-old-dog", "20261102T000000Z-wise-owl"]
    pruned = prune(old_store, days=30)
    assert (pruned.removed, pruned.artifacts) == (["comparisons/20200101T000000Z-old-dog"], [])
    assert sorted(path.name for path in place.iterdir()) == ["20261102T000000Z-wise-owl", "latest"]


def test_a_lock_stays_exclusive_if_its_file_is_removed(store):
    """A waiter that opened the file before its removal must not hold a lock that others cannot see."""
    holding, order = Store(store), []

    def wait_and_hold():
        with holding.locked("pad/abc"):
            order.append("in")
            time.sleep(0.3)
            order.append("out")

    with holding.locked("pad/abc"):
        waiters = [threading.Thread(target=wait_and_hold) for _ in range(2)]
        waiters[0].start()
        time.sleep(0.2)
        lock_file(store, "pad/abc").unlink()
        waiters[1].start()
        time.sleep(0.2)
    for waiter in waiters:
        waiter.join(10)
    assert order[-2:] == ["in", "out"]
    assert len(order) == 4


def test_a_service_protects_only_its_own_model_and_run(old_store):
    """A service may run for weeks; otherwise nothing used since its start could be removed."""
    script = (
        "import sys, time; from pathlib import Path; from tasks.store.inventory import Store, take;"
        "take(Store(Path(sys.argv[1])), 'pad/used'); print('here', flush=True); time.sleep(60)"
    )
    run = old_store / "runs" / "20261101T000000Z-lucky-cat"
    (old_store / "runs" / "latest").unlink()
    service = subprocess.Popen([sys.executable, "-c", script, str(old_store)], stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout.readline() == "here\n"
        mark_used(old_store / "pad" / "unused")  # after the service started
        pruned = prune(old_store, days=0)
        assert [entry["key"] for entry in pruned.artifacts] == ["pad/unused"]
        assert pruned.held == ["pad/used"]
        assert run.exists()
    finally:
        service.kill()
        service.wait(10)
        service.stdout.close()
    assert [entry["key"] for entry in prune(old_store, days=0).artifacts] == ["pad/used"]
    assert not run.exists()


def test_leftovers_are_removed_safely_while_drafts_are_written(tmp_path):
    """No writer fails, and final folders are complete, even if a draft in use is mistaken for a leftover."""
    place, done = tmp_path / "runs", threading.Event()

    def write(number: int) -> None:
        for count in range(60):
            with contextlib.suppress(FileNotFoundError):  # only if the draft was removed
                with written_whole(place / f"{number}-{count}") as draft:
                    for name in "abc":
                        (draft / name).write_text("whole")

    def remove(before: float) -> int:
        removed = 0
        while not done.is_set():
            removed += len(remove_unfinished(place, before))
        return removed

    with ThreadPoolExecutor(6) as pool:
        removing = [pool.submit(remove, before) for before in (0, time.time() + 999)]
        writing = [pool.submit(write, number) for number in range(4)]
        failures = [its.exception() for its in writing]
        done.set()
        removed = [its.result() for its in removing]
    assert failures == [None] * 4
    assert removed[0] == 0 < removed[1]
    assert {tuple(sorted(path.name for path in folder.iterdir())) for folder in place.glob("[!.]*")} == {tuple("abc")}


def test_concurrent_prunings_remove_each_artifact_once(old_store):
    for number in range(30):
        Store(old_store).get_or_make(f"pad/{number}", lambda folder: {"n": (folder / "a.txt").write_text("abc")})
    uses = old_store / "locks" / "in-use"
    done = threading.Event()

    def start_and_end():
        while not done.is_set():
            announce_use.__wrapped__(old_store).release()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(start_and_end) for _ in range(2)]
        pruning = [pool.submit(prune, old_store, 0) for _ in range(2)]
        pruned = [its.result() for its in pruning]
        done.set()
    assert [its.exception() for its in running] == [None, None]
    keys = [entry["key"] for its in pruned for entry in its.artifacts]
    assert sorted(keys) == sorted(["pad/unused", "pad/used", *(f"pad/{number}" for number in range(30))])
    assert uses.exists()
