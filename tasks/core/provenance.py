"""The machine of a run, the commit of this project and the versions of its libraries."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from tasks.core.environment import PROJECT
from tasks.core.errors import TrainingError

CPU_FACTS = Path("/proc/cpuinfo")
VERSIONS = ("imdb-pipeline", "keras", "mlflow", "numpy", "prefect", "pyarrow", "scikit-learn", "tensorflow")


def describe_machine() -> dict[str, Any]:
    """Return the machine of this process; `commit` and `dirty` (files differ from it) are None outside a checkout."""
    import psutil

    commit = ask_git("rev-parse", "HEAD")
    return {
        "commit": commit,
        "dirty": None if commit is None else bool(ask_git("status", "--porcelain", "--untracked-files=no")),
        "processor": name_processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries."""
    return {"python": platform.python_version()} | {name: library_version(name) for name in VERSIONS}


@functools.cache
def library_version(name: str) -> str:
    """Return the version of an installed distribution; TensorFlow's build without CUDA is TensorFlow, too.

    Raises:
        TrainingError: TensorFlow is not installed.
    """
    if name != "tensorflow":
        return importlib.metadata.version(name)
    for build in ("tensorflow-cpu", "tensorflow"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(build)
    raise TrainingError("TensorFlow is not installed: pip install '.[cpu]', or '.[gpu]'")


def ask_git(*words: str) -> str | None:
    """Return git's output for this project's checkout, or None without git or a checkout."""
    if not (PROJECT / ".git").exists():  # installed, the folder above may be a checkout of something else
        return None
    try:
        command = ["git", "-C", str(PROJECT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def name_processor() -> str:
    """Return the processor's name as the system reports it."""
    facts = CPU_FACTS.read_text(errors="replace") if CPU_FACTS.exists() else ""
    model = re.search("^model name.*: *(.+)", facts, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()
