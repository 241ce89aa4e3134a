"""A registry with a champion, without a training run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.registry.client import registry
from tasks.registry.mlflow_model import content_of, write_registered
from tasks.registry.versions import CHAMPION, CONTENT
from tests.support.small_runs import packaged_classifier

MODEL = "imdb-classifier"


def logged_runs(uri: str) -> list[Any]:
    """Return the MLflow runs in the pipeline's experiment of the registry at `uri`."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri, uri)
    (experiment,) = [its for its in client.search_experiments() if its.name == "imdb-pipeline"]
    return list(client.search_runs([experiment.experiment_id]))


def register(packaged: Path, place: Path, alias: str | None = CHAMPION, model: str = MODEL) -> int:
    """Register a packaged classifier in the store's own registry, with its files in the new folder `place`.

    Returns:
        The version's number.
    """
    write_registered(packaged, place)
    with registry(None) as client:
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        tags = {CONTENT: content_of(place), "dataset": "imdb"}
        version = client.create_model_version(model, place.as_uri(), tags=tags, await_creation_for=0)
        if alias:
            client.set_registered_model_alias(model, alias, version.version)
    return int(version.version)


@contextmanager
def store_with_champion(root: Path) -> Iterator[Path]:
    """Make `root` the store; its folder `packaged` holds a classifier of two labels that is the champion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTIFACTS_STORE", str(root))
        shutil.copytree(packaged_classifier(), root / "packaged")
        register(root / "packaged", root / "registered")
        yield root
