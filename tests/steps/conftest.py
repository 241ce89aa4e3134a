"""Fixtures of the tests of steps: a champion, and a store in which a run was tracked."""

import json
import shutil
from pathlib import Path

import pytest

import tasks.predict
from tasks.registry.client import registry
from tests.support.small_runs import store_after, tracked


@pytest.fixture
def champion(classifier, monkeypatch):
    """The classifier, as the champion of the registry."""
    monkeypatch.setattr(tasks.predict, "load_classifier", lambda *_arguments: classifier)


@pytest.fixture(scope="session")
def first_tracked_run(imdb: Path, first_run: Path, prefect_server) -> Path:
    """A store in which tracked(imdb) has run, shared by all test processes."""
    return store_after("first-tracked-run", tracked(imdb), first_run)


@pytest.fixture
def tracked_run(store: Path, first_tracked_run: Path) -> dict:
    """metrics.json of a run of tracked(imdb) in the test's own store."""
    shutil.copytree(first_tracked_run, store, symlinks=True)
    with registry(None):  # the addresses in its database are changed to those of the copy
        return json.loads((store / "runs" / "latest" / "metrics.json").read_text())
