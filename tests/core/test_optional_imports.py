import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.core.optional_imports import without_packages

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "rarely_needed.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield "rarely_needed"
    sys.modules.pop("rarely_needed", None)


def test_a_package_is_hidden_from_this_thread_only_and_found_afterwards(package):
    with without_packages(package), ThreadPoolExecutor() as threads:
        with pytest.raises(ModuleNotFoundError, match="rarely_needed is hidden"):
            importlib.import_module(package)
        threads.submit(importlib.import_module, package).result()
        assert importlib.import_module(package)  # it is imported already
    del sys.modules[package]
    assert importlib.import_module(package)


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_arrow_does_without_pandas_which_can_still_be_imported():
    program = """
import sys
from tasks.core.optional_imports import hide_pandas_from_arrow
hide_pandas_from_arrow()
import pyarrow as pa
print(pa.array(["a"]).to_pylist(), "pandas" in sys.modules)
import pandas
print(pa.array(pandas.Series([1, 2]).to_numpy()).to_pylist())
"""
    assert run(program).splitlines() == ["['a'] False", "[1, 2]"]


def test_tensorflow_does_without_packages_that_can_still_be_imported():
    program = """
import sys
from tasks.network.tensorflow_setup import start_tensorflow
start_tensorflow()
print(sorted({"matplotlib", "pandas", "scipy", "sklearn"} & set(sys.modules)))
import matplotlib, pandas, scipy.stats, sklearn.metrics
"""
    assert run(program) == "[]\n"
