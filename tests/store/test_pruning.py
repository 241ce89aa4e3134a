import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.core.files import lock_file, remove_unfinished, written_whole
from tasks.store.inventory import DAY, announce_use, list_artifacts, live_uses
from tasks.store.pruning import prune
from tasks.store.store import MANIFEST, Store, mark_used

LONG_AGO = time.time() - 100 * DAY


def write_old(path: Path, content: str = "") -> Path:
    """Write a file of long ago, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for part in (path, path.parent):
        os.utime(part, (LONG_AGO, LONG_AGO))
    return path


def test_an_artifact_that_was_not_used_for_long_is_removed(old_store):
    mark_used(old_store / "pad" / "used")
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/unused"]
    assert [path.name for path in (old_store / "pad").iterdir()] == ["used"]
    assert prune(old_store, days=9).artifacts == []


def test_what_a_step_takes_from_a_run_cut_short_counts_as_used(old_store):
    taken, _ = Store(old_store).get_or_make("pad/unused", lambda _folder: pytest.fail("rebuilt"))
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/used"]
    assert Store(old_store).find("pad/unused") == taken


def test_nothing_is_removed_that_a_live_run_may_use(old_store):
    script = (
        "import sys, time; from pathlib import Path; from tasks.store.inventory import announce_use;"
        "announce_use(Path(sys.argv[1])); print('here', flush=True); time.sleep(60)"
    )
    live = subprocess.Popen([sys.executable, "-c", script, str(old_store)], stdout=subprocess.PIPE, text=True)
    try:
        assert live.stdout.readline() == "here\n"
        assert live_uses(old_store)[0] < time.time()
        mark_used(old_store / "pad" / "used")  # as the live run does when it takes it from the cache
        assert [entry["key"] for entry in prune(old_store, days=0).artifacts] == ["pad/unused"]
    finally:
        live.kill()
        live.wait(10)
        live.stdout.close()
    # Its lock is free now, though nobody released it.
    assert [entry["key"] for entry in prune(old_store, days=0).artifacts] == ["pad/used"]
    assert not list((old_store / "locks" / "in-use").iterdir())


def test_checkpoints_that_were_given_up_are_removed(old_store):
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


def test_the_folders_of_strangers_are_reported_and_never_touched(tmp_path):
    """As `--store .` in a checkout, or `--store ~`, would have it."""
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
    assert {"exported/1", "tasks/store", "photos/2019", "link/abc", "runs/marathon"} <= set(pruned.foreign_files)
    assert any(
        "someone" not in name and name.endswith(f"{MANIFEST}: missing or unreadable") for name in pruned.foreign_files
    )


def test_an_artifact_that_holds_a_file_of_someones_stays(old_store):
    note = write_old(old_store / "pad" / "unused" / "my-notes.txt", "keep me")
    pruned = prune(old_store, days=9)
    assert [entry["key"] for entry in pruned.artifacts] == ["pad/used"]
    assert pruned.foreign_files == ["pad/unused/my-notes.txt"]
    assert note.read_text() == "keep me"


def test_an_artifact_whose_manifest_was_copied_from_another_key_stays(old_store):
    (old_store / "pad" / "unused").rename(old_store / "pad" / "renamed")
    assert [entry["key"] for entry in prune(old_store, days=9).artifacts] == ["pad/used"]
    assert (old_store / "pad" / "renamed" / "a.txt").exists()


def test_a_key_that_a_live_run_holds_is_passed_over_at_once(old_store):
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


def test_what_killed_makers_left_under_keys_that_are_never_used_again_is_removed(old_store):
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


def test_old_runs_go_and_the_latest_run_stays(old_store):
    latest = old_store / "runs" / "20261101T000000Z-lucky-cat"
    for run in (
        latest,
        old_store / "runs" / "20200101T000000Z-old-dog",
        old_store / "runs" / "20200102T000000Z-older-cow",
    ):
        for name in ("figures/history.svg", "config.json", "metrics.json", "report.html", "label_issues.csv"):
            write_old(run / name, "{}")
    os.utime(old_store / "runs" / "20200102T000000Z-older-cow" / "metrics.json")  # as a service of its model does
    pruned = prune(old_store, days=30)
    assert pruned.removed == ["runs/20200101T000000Z-old-dog"]
    assert sorted(path.name for path in (old_store / "runs").iterdir()) == [
        "20200102T000000Z-older-cow",
        "20261101T000000Z-lucky-cat",
        "latest",
    ]


def test_old_comparisons_go_and_the_latest_and_what_new_ones_hold_stay(old_store):
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
    assert (pruned.removed, pruned.artifacts, pruned.foreign_files) == (
        ["comparisons/20200101T000000Z-old-dog"],
        [],
        [],
    )
    assert sorted(path.name for path in place.iterdir()) == ["20261102T000000Z-wise-owl", "latest"]


def test_a_lock_whose_file_was_removed_meanwhile_is_still_one_lock(store):
    """A waiter that had opened the file before must not hold a lock that nobody else can see."""
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


def test_of_a_service_only_its_own_model_and_run_stay(old_store):
    """It may run for weeks; all that was made since it started would stay otherwise."""
    script = (
        "import sys, time; from pathlib import Path; from tasks.store.inventory import Store, take;"
        "take(Store(Path(sys.argv[1])), 'pad/used'); print('here', flush=True); time.sleep(60)"
    )
    run = old_store / "runs" / "20261101T000000Z-lucky-cat"
    (old_store / "runs" / "latest").unlink()
    service = subprocess.Popen([sys.executable, "-c", script, str(old_store)], stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout.readline() == "here\n"
        mark_used(old_store / "pad" / "unused")  # after the service has started
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


def test_drafts_come_and_go_while_left_overs_are_removed(tmp_path):
    """Nobody fails, and what has its final name is complete, even if a draft in use is taken for a left-over."""
    place, done = tmp_path / "runs", threading.Event()

    def write(number: int) -> None:
        for count in range(60):
            with contextlib.suppress(FileNotFoundError):  # only a maker whose draft was taken away
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
    assert removed[0] == 0
    assert {tuple(sorted(path.name for path in folder.iterdir())) for folder in place.glob("[!.]*")} <= {tuple("abc")}


def test_a_store_that_is_pruned_twice_at_once_while_runs_start_and_end(old_store):
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
    assert len(keys) == len(set(keys))
    assert uses.exists()
