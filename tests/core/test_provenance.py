import importlib.metadata
import subprocess

import pytest

from tasks.core import provenance
from tasks.core.errors import TrainingError


def checkout(folder):
    """A checkout with one commit."""
    folder.mkdir()
    (folder / "file").write_text("a")
    own = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "file"], [*own, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_the_commit_is_named_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PROJECT", checkout(tmp_path / "project"))
    clean = provenance.describe_machine()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "project" / "file").write_text("b")
    assert provenance.describe_machine() == clean | {"dirty": True}
    assert clean["cores"] >= 1
    assert clean["memory_gb"] > 0
    assert clean["processor"]


def test_within_a_checkout_of_something_else_there_is_no_commit(tmp_path, monkeypatch):
    inside = checkout(tmp_path / "other") / "site-packages"
    inside.mkdir()
    monkeypatch.setattr(provenance, "PROJECT", inside)
    found = provenance.describe_machine()
    assert (found["commit"], found["dirty"]) == (None, None)


def test_tensorflow_is_either_build_and_its_absence_is_named(monkeypatch):
    installed = {"tensorflow-cpu": "2.21.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    read_version = provenance.library_version.__wrapped__  # without what it remembers
    assert read_version("tensorflow") == "2.21.0"
    installed = {"tensorflow": "2.22.0"}
    assert read_version("tensorflow") == "2.22.0"
    installed = {}
    with pytest.raises(TrainingError, match=r"not installed: pip install '\.\[cpu\]'"):
        read_version("tensorflow")
