import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    """Check the imports of a copy of the project against the layers in its pyproject.toml."""
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
        match = re.search(r"^ *(from|import) tests\.([a-z_]+\.)*test_\w+", path.read_text(), re.MULTILINE)
        assert not match, f"{path}: {match[0]}; move shared code to conftest.py or tests/support"


def test_no_package_imports_from_a_higher_layer():
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
def test_a_wrong_import_is_reported_with_both_modules(tmp_path, file, line, imported):
    for part in ("flows", "serving", "tasks"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint(tmp_path)
    importer = file.removesuffix(".py").replace("/", ".")
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert f"{importer} -> {imported}" in checked.stdout
