import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    """Hold the imports of the project in a folder against the floors that its pyproject.toml names."""
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_no_test_module_imports_another():
    for path in (PROJECT / "tests").rglob("*.py"):
        found = re.search(r"^ *(from|import) tests\.([a-z_]+\.)*test_\w+", path.read_text(), re.MULTILINE)
        assert not found, f"{path}: {found[0]}; what tests share is in conftest.py and in files without test_"


def test_no_import_goes_up():
    checked = lint(PROJECT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("file", "line", "imported"),
    [
        ("tasks/texts/vocabulary.py", "import tasks.network.keras_files", "tasks.network.keras_files"),
        ("tasks/train.py", "from tasks.pad import pad", "tasks.pad"),
        ("tasks/store/store.py", "import prefect", "prefect"),
        ("tasks/evaluation/drift.py", "from flows.imdb_flow import imdb_flow", "flows.imdb_flow"),
    ],
)
def test_a_wrong_import_is_named_with_both_files(tmp_path, file, line, imported):
    for part in ("flows", "serving", "tasks"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint(tmp_path)
    importer = file.removesuffix(".py").replace("/", ".")
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert f"{importer} -> {imported}" in checked.stdout
