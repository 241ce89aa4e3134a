import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.housekeeping_flow import housekeeping_flow, main
from tasks.core.command_settings import HousekeepingSettings
from tasks.store.inventory import list_artifacts

PROJECT = Path(__file__).parents[2]


def test_every_artifact_is_listed_with_its_age_and_runs(old_store):
    unused, used = list_artifacts(old_store)
    assert (unused["key"], unused["runs"]) == ("pad/unused", [])
    assert (used["key"], used["runs"]) == ("pad/used", ["20261101T000000Z-lucky-cat"])
    assert used["days"] == pytest.approx(10, abs=0.01)
    assert used["size"] > 3


def test_damaged_artifacts_are_reported(old_store):
    (old_store / "pad" / "used" / "a.txt").write_text("abd")
    unused, used = list_artifacts(old_store, verified=True)
    assert unused["damage"] is None
    assert "sha256 differs" in used["damage"]


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_the_flow_lists_verifies_or_prunes(old_store, prefect_server, action):
    findings = housekeeping_flow(HousekeepingSettings(action=action, days=9))
    assert findings["action"] == action
    assert [entry["key"] for entry in findings["artifacts"]] == ["pad/unused", "pad/used"]
    assert (old_store / "pad" / "used").exists() == (action != "prune")


@pytest.mark.parametrize("action", ["list", "verify"])
def test_reading_the_store_imports_no_prefect_and_writes_nothing(old_store, action):
    before = sorted(old_store.rglob("*"))
    command = [sys.executable, "-X", "importtime", str(PROJECT / "flows" / "housekeeping_flow.py"), action]
    environment = os.environ | {"ARTIFACTS_STORE": str(old_store), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"{action}: 2 artifacts" in done.stdout
    assert sorted(old_store.rglob("*")) == before
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time" in line}
    assert "pydantic" in imported
    assert not imported & {"prefect", "tensorflow", "mlflow"}


def test_json_without_a_dry_run_is_refused(old_store, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["housekeeping_flow.py", "list", "--json"])
    assert main() == 2
    assert "--json: give --dry-run too" in capsys.readouterr().err


def test_foreign_files_are_left_alone(old_store, prefect_server):
    theirs = old_store / "exported" / "1" / "saved_model.pb"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    for action in ("list", "verify", "prune"):
        findings = housekeeping_flow(HousekeepingSettings(action=action, days=0))
        assert "exported/1" not in [entry["key"] for entry in findings["artifacts"]]
    assert theirs.read_text() == "theirs"


def test_verify_exits_with_status_1_if_an_artifact_is_damaged(old_store, prefect_server, monkeypatch, capsys, caplog):
    (old_store / "pad" / "used" / "a.txt").unlink()
    monkeypatch.setattr(sys, "argv", ["housekeeping_flow.py", "verify", "--store", str(old_store)])
    assert main() == 1
    assert "a.txt: missing; the next run that needs it rebuilds it" in caplog.text
    assert "NO" in capsys.readouterr().out
