"""`--dry-run` of every command reports its plan and writes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import command
from tasks.store.pruning import prune
from tests.support.small_runs import as_flags, small

PROJECT = Path(__file__).parents[2]


def state(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Return size and modification time of all files and folders."""
    paths = [path for folder in folders for path in folder.rglob("*")]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths}


@pytest.fixture
def dry_run(monkeypatch, capsys, tmp_path):
    """A function that dry-runs a command, checks that nothing was written, and returns status and cause by step."""

    def run(*words: str) -> dict[str, tuple[str, str]]:
        monkeypatch.setattr(sys, "argv", ["imdb-pipeline", *words, "--dry-run", "--json"])
        before = state(tmp_path)
        assert command.main() == 0
        assert state(tmp_path) == before
        return {plan["step"]: (plan["status"], plan["cause"]) for plan in json.loads(capsys.readouterr().out)}

    return run


@pytest.fixture
def last_run(trained) -> Path:
    return (trained / "runs" / "latest").resolve()


def test_export_and_serve_name_the_model_and_the_destination(dry_run, last_run, tmp_path):
    model = ["--model", str(last_run)]
    exported = dry_run("export", *model, "--output", str(tmp_path / "out"), "--format", "onnx")
    assert exported == {"export": ("runs", f"run {last_run.name} as onnx to {tmp_path / 'out'}")}
    assert dry_run("serve", *model, "--port", "9") == {"serve": ("runs", f"run {last_run.name} at http://127.0.0.1:9")}


def test_predict_reports_files_as_scored_partly_scored_or_not_scored(dry_run, last_run, tmp_path):
    inbox, scored = tmp_path / "inbox", tmp_path / "scored"
    for name in ("a.txt", "b.txt", "c.txt"):
        inbox.mkdir(exist_ok=True)
        (inbox / name).write_text("good film\n")
    (scored / ".b.txt.parquet.parts").mkdir(parents=True)
    (scored / "a.txt.parquet").touch()
    (scored / ".b.txt.parquet.parts" / "000000.parquet").touch()
    model = ["--model", str(last_run)]
    assert dry_run("predict", *model, "--input", str(inbox), "--output", str(scored)) == {
        "a.txt": ("cached", f"{scored / 'a.txt.parquet'}"),
        "b.txt": (
            "resumes",
            f"{scored / 'b.txt.parquet'}, by run {last_run.name}; 1 scored parts stay if they are of the same file and "
            "model",
        ),
        "c.txt": ("runs", f"{scored / 'c.txt.parquet'}, by run {last_run.name}"),
    }
    scores = ("runs", f"run {last_run.name} scores; the scores are printed")
    for words in (["--text", "good"], ["--input", "-"]):
        assert dry_run("predict", *model, *words) == {"predict": scores}


def test_housekeeping_lists_exactly_what_prune_removes(dry_run, old_store):
    left = old_store / "checkpoints" / "train" / "abc"
    left.mkdir(parents=True)
    (left / "state.json").write_text("{}")
    os.utime(left / "state.json", (0, 0))
    assert dry_run("housekeeping") == {"list": ("runs", "reads 2 artifacts, changes none")}
    planned = dry_run("housekeeping", "prune", "--days", "9")
    assert planned["pad/unused"] == ("removed", "0.0 MB, 10.0 days since use")
    done = prune(old_store, 9)
    assert list(planned) == [*(entry["key"] for entry in done.artifacts), *done.removed]
    assert "checkpoints/train/abc" in planned


def test_a_dry_run_writes_nothing_and_imports_neither_prefect_nor_tensorflow(imdb, tmp_path):
    home, store = tmp_path / "home", tmp_path / "store"
    for folder in (home, store):
        folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ARTIFACTS_"))}
    before = state(tmp_path)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows.imdb_flow", "--dry-run", *as_flags(small(imdb))],
        env=clean | {"HOME": str(home), "ARTIFACTS_STORE": str(store), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "download" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "pyarrow" in imported
    assert not imported & {"prefect", "tensorflow", "keras", "mlflow", "sklearn", "matplotlib"}
    assert state(tmp_path) == before


def test_promote_reports_its_plan_without_writing_to_mlflow(run, imdb, trained, dry_run, capsys):
    always = {"min_accuracy": 0}
    run(small(imdb, tracking={"enabled": True}, promotion=always))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.registry.client.registry", lambda _: pytest.fail("MLflow may write"))
        by_hand = dry_run("promote", "--version", "1")
        patch.setattr("tasks.reporting.prefect_server.check_server", lambda **_: pytest.fail("a list needs no flow"))
        patch.setattr(sys, "argv", ["imdb-pipeline", "promote", "--list"])
        assert command.main() == 0
        assert "champions of imdb-classifier" in capsys.readouterr().out
        patch.setattr(sys, "argv", ["imdb-pipeline", "promote", "--list", "--json"])
        assert command.main() == 0
        listed = json.loads(capsys.readouterr().out)
        assert [champion["version"] for champion in listed["champions"]] == [1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["imdb-pipeline", "promote", "--version", "1", "--json"])
        assert command.main() == 2
        assert "--json: give --dry-run too" in capsys.readouterr().err
    assert by_hand == {"promote": ("champion", "version 1 of imdb-classifier")}
    run(small(imdb, tracking={"enabled": True}, evaluation={"threshold": 0.6}, promotion=always))
    assert dry_run("promote", "--version", "2")["promote"][1].endswith("in place of version 1")
