import importlib.metadata
import subprocess

import pytest

from tasks.core import provenance
from tasks.core.errors import TrainingError


def checkout(folder):
    """Create a checkout with one commit."""
    folder.mkdir()
    (folder / "file").write_text("a")
    own = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "file"], [*own, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_the_commit_and_uncommitted_changes_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PROJECT", checkout(tmp_path / "project"))
    clean = provenance.describe_machine()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "project" / "file").write_text("b")
    assert provenance.describe_machine() == clean | {"dirty": True}
    assert clean["cores"] >= 1
    assert clean["memory_gb"] > 0
    assert clean["processor"]


def test_the_commit_of_another_project_is_not_recorded(tmp_path, monkeypatch):
    inside = checkout(tmp_path / "other") / "site-packages"
    inside.mkdir()
    monkeypatch.setattr(provenance, "PROJECT", inside)
    found = provenance.describe_machine()
    assert (found["commit"], found["dirty"]) == (None, None)


def test_either_tensorflow_package_is_found_and_a_missing_one_reported(monkeypatch):
    installed = {"tensorflow-cpu": "2.21.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    read_version = provenance.library_version.__wrapped__  # without its cache
    assert read_version("tensorflow") == "2.21.0"
    installed = {"tensorflow": "2.22.0"}
    assert read_version("tensorflow") == "2.22.0"
    installed = {}
    with pytest.raises(TrainingError, match=r"not installed: pip install '\.\[cpu\]'"):
        read_version("tensorflow")
