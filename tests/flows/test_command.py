import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows import command
from tasks.core.files import hash_file
from tests.support.shared import shared_prefect_server

PROJECT = Path(__file__).parents[2]


def run_command(monkeypatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["imdb-pipeline", *words])
    return command.main()


def test_every_flow_has_a_command():
    flows = {f"flows.{path.stem}" for path in (PROJECT / "flows").glob("*_flow.py")}
    assert {module for module, _about in command.COMMANDS.values()} == flows | {"serving.__main__"}


def test_help_lists_every_command(monkeypatch, capsys):
    assert run_command(monkeypatch, "--help") == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    listed = [(word, about) for word, (_module, about) in command.COMMANDS.items()]
    assert [tuple(line.split(maxsplit=1)) for line in lines] == listed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no command: expected train, why, compare, predict, serve, export, promote, housekeeping"),
        (["tain"], "tain: did you mean train?"),
        (["--preset", "quick"], "--preset: expected train"),
    ],
)
def test_an_unknown_or_missing_command_exits_with_status_2(monkeypatch, capsys, words, said):
    assert run_command(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"imdb-pipeline: error: {said}")
    assert error.count("\n") == 1


def test_arguments_after_the_command_go_to_its_flow(monkeypatch, capsys):
    assert run_command(monkeypatch, "housekeeping", "burn") == 2
    assert capsys.readouterr().err.startswith("imdb-pipeline housekeeping: error: --action burn: ")


@pytest.mark.slow
@pytest.mark.index
def test_an_installed_wheel_trains_and_writes_only_to_the_current_folder(imdb, tmp_path):
    source, installed, here = (tmp_path / name for name in ("source", "installed", "here"))
    for package in ("flows", "serving", "tasks"):
        shutil.copytree(PROJECT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    before = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    here.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ARTIFACTS_"))}
    for name in ("KERAS_HOME", "MPLCONFIGDIR"):
        clean.pop(name, None)

    def run(*words: str) -> str:
        done = subprocess.run(
            [installed / "bin" / "imdb-pipeline", *words],
            env=clean | {"PYTHONPATH": str(installed), "PREFECT_API_URL": shared_prefect_server()},
            cwd=here,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(
        "train",
        "--preset",
        "quick",
        f"--data.source={imdb / 'imdb.npz'}",
        "--data.sha256",
        hash_file(imdb / "imdb.npz"),
    )
    assert (here / "artifacts" / "runs" / "latest" / "report.html").is_file()
    assert "train/" in run("housekeeping", "list")
    assert {path for path in installed.rglob("*") if "__pycache__" not in path.parts} == before
