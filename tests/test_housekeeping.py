import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.housekeeping_flow import housekeeping_flow
from tasks.core.flow_settings import HousekeepingSettings
from tasks.core.store import MANIFEST, Store, mark_used
from tasks.core.usage import oldest_live_use
from tasks.housekeeping import DAY, damaged_runs, list_artifacts, prune_artifacts, verify_artifacts


@pytest.fixture
def house(store) -> Path:
    """A store with two artifacts, one used by a run and one by none, both ten days old."""
    for key in ("pad/used", "pad/unused"):
        made = Store(store).make(key, lambda folder: {"n": (folder / "a.txt").write_text("abc")}, warn=pytest.fail)
        age(store, made.key, days=10)
        (store / "results" / "pad").mkdir(parents=True, exist_ok=True)
        (store / "results" / key).write_text("{}")
    run = store / "runs" / "20261101T000000Z-lucky-cat"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "metrics.json").write_text(json.dumps({"artifacts": {"pad": {"key": "pad/used", "sha256": "0"}}}))
    (store / "runs" / "latest").symlink_to(run.name)
    return store


def age(store: Path, key: str, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(store / key / MANIFEST, (then, then))


def test_every_artifact_is_listed_with_its_age_and_runs(house):
    unused, used = list_artifacts(house)
    assert (unused["key"], unused["runs"]) == ("pad/unused", [])
    assert (used["key"], used["runs"]) == ("pad/used", ["20261101T000000Z-lucky-cat"])
    assert used["days"] == pytest.approx(10, abs=0.01)
    assert used["size"] > 3


def test_rot_is_found_wherever_it_is(house):
    (house / "pad" / "used" / "a.txt").write_text("abd")
    (house / "runs" / "20261101T000000Z-lucky-cat" / "config.json").write_text("{")
    unused, used = verify_artifacts(house)
    assert unused["rot"] is None
    assert "sha256 differs" in used["rot"]
    assert "20261101T000000Z-lucky-cat" in damaged_runs(house)


def test_what_was_not_used_for_long_is_removed_with_its_record(house):
    mark_used(house / "pad" / "used")
    assert [entry["key"] for entry in prune_artifacts(house, days=9)] == ["pad/unused"]
    assert [path.name for path in (house / "pad").iterdir()] == ["used"]
    assert [path.name for path in (house / "results" / "pad").iterdir()] == ["used"]
    assert prune_artifacts(house, days=9) == []


def test_what_a_step_takes_from_a_run_cut_short_counts_as_used(house):
    taken = Store(house).make("pad/unused", lambda _folder: pytest.fail("made again"), warn=pytest.fail)
    assert [entry["key"] for entry in prune_artifacts(house, days=9)] == ["pad/used"]
    assert Store(house).find("pad/unused") == taken


def test_nothing_is_removed_that_a_live_run_may_use(house):
    script = (
        "import sys, time; from pathlib import Path; from tasks.core.usage import announce_use;"
        "announce_use(Path(sys.argv[1])); print('here', flush=True); time.sleep(60)"
    )
    live = subprocess.Popen([sys.executable, "-c", script, str(house)], stdout=subprocess.PIPE, text=True)
    try:
        assert live.stdout.readline() == "here\n"
        assert oldest_live_use(house) < time.time()
        mark_used(house / "pad" / "used")  # as the live run does when it takes it from the cache
        assert [entry["key"] for entry in prune_artifacts(house, days=0)] == ["pad/unused"]
    finally:
        live.kill()
        live.wait(10)
        live.stdout.close()
    # Its lock is free now, though nobody released it.
    assert [entry["key"] for entry in prune_artifacts(house, days=0)] == ["pad/used"]
    assert not list((house / "locks" / "in-use").iterdir())


def test_checkpoints_that_were_given_up_are_removed(house):
    folder = house / "checkpoints" / "train" / "abc"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    prune_artifacts(house, days=1)
    assert folder.exists()
    os.utime(folder / "state.json", (0, 0))
    prune_artifacts(house, days=1)
    assert not folder.exists()


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_the_flow_does_what_it_is_told(house, prefect_server, action):
    findings = housekeeping_flow(HousekeepingSettings(action=action, days=9))
    assert findings["action"] == action
    assert [entry["key"] for entry in findings["artifacts"]] == ["pad/unused", "pad/used"]
    assert (house / "pad" / "used").exists() == (action != "prune")


def test_from_the_command_line_verify_fails_where_something_is_rotten(house):
    (house / "pad" / "used" / "a.txt").unlink()
    flow = Path(__file__).parents[1] / "flows" / "housekeeping_flow.py"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    done = subprocess.run(
        [sys.executable, str(flow), "verify", "--store", str(house)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "a.txt: missing; the next run that needs it makes it again" in done.stderr
    assert "NO" in done.stdout
