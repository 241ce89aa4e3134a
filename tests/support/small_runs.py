"""Runs that take seconds: their settings, epochs, and a classifier."""

from tasks.reporting.command_line import parse_flags

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.build import make_model
from tasks.core.base_settings import Settings
from tasks.core.files import hash_file
from tasks.core.run_settings import ModelSettings, RunSettings
from tasks.network.bundle import BundleFacts, KerasClassifier
from tasks.network.checkpoint import Epoch
from tasks.network.keras_files import save_model
from tasks.network.onnx_export import write_network
from tasks.texts.encoded import Encoding, write_vocabulary
from tests.support.keras_scorer import open_keras
from tests.support.shared import made_once

STEPS = [
    *("download", "encode", "pad", "baseline", "build", "train", "score", "evaluate"),
    *("figures", "package"),
]
TRACED_SOONEST = {"cell": "simple_rnn", "bidirectional": False}
CASE_STUDY = {"cell": "lstm", "bidirectional": True}
SIX_WORDS = ["good", "bad", "film", "the", "a", "it's"]


def store_after(name: str, settings: RunSettings, start: Path | None = None) -> Path:
    """Return a store, shared by all test processes, that contains one run.

    Args:
        name: the store's, unique in the session.
        settings: the run's.
        start: a store to copy before the run; None to start with an empty one.
    """
    from flows.imdb_flow import imdb_flow  # here, because every test process reads this file

    def make(root: Path) -> None:
        if start:
            shutil.copytree(start, root, symlinks=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ARTIFACTS_STORE", str(root))
            imdb_flow(settings)

    return made_once(name, make)


def small(imdb: Path | None, **sections) -> RunSettings:
    """Return the settings of a run that takes seconds, with the network that is traced soonest.

    Args:
        imdb: the folder of the generated reviews; if None, `sections` names the source.
        sections: values that differ, by section.
    """
    own = {"source": str(imdb / "imdb.npz"), "sha256": hash_file(imdb / "imdb.npz")} if imdb else {}
    settings = {
        "data": {"maxlen": 64, "num_words": 200} | own,
        "model": TRACED_SOONEST | {"units": 8, "embedding_dim": 8, "dense_units": 8},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01},
        "baseline": {},
        "tracking": {"enabled": False},
    }
    for section, values in sections.items():
        settings[section] = settings.get(section, {}) | values
    return RunSettings.model_validate(settings)


def tracked(imdb: Path, **sections) -> RunSettings:
    """Return the settings of a small run that is tracked, and whose model may become the champion."""
    sections = {"tracking": {"enabled": True}, "promotion": {"min_accuracy": 0.4}} | sections
    settings = small(imdb).model_dump()
    for section, values in sections.items():
        settings[section] |= values
    return RunSettings.model_validate(settings)


def parse_command_line(settings_model: type[Settings], arguments: Sequence[str], program: str, about: str) -> Any:
    """Return the settings that flags, environment and preset give."""
    return parse_flags(settings_model, arguments, program, about)[0]


def as_flags(settings: RunSettings) -> list[str]:
    """Return the command-line flags for these settings."""
    flags = []
    for section, values in settings.model_dump(mode="json", exclude_defaults=True).items():
        for name, value in values.items():
            flag = f"{section}.{name.replace('_', '-')}"
            flags += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
    return flags


def epochs(*losses: float) -> list[Epoch]:
    """Return epochs with the given validation losses."""
    return [Epoch(epoch=number, loss=1.0, val_loss=loss, seconds=0.1) for number, loss in enumerate(losses, 1)]


def make_classifier(folder: Path, labels: Sequence[str] = ("negative", "positive")) -> KerasClassifier:
    """Write an untrained classifier with six words to a folder and return it."""
    network = make_model(ModelSettings(**TRACED_SOONEST, units=4, embedding_dim=4, dense_units=4), 10, len(labels))
    save_model(network, folder / "model.keras")
    marks = {"skip_top": 0, "start_char": 1, "oov_char": 2, "index_from": 3}
    Encoding(**marks, vocabulary_size=10, labels=len(labels)).write(folder)
    write_vocabulary(folder, SIX_WORDS)
    facts = {"maxlen": 48, "padding": "pre", "truncating": "pre", "bucketing": True, "threshold": 0.5}
    facts |= {"labels": labels, "dataset": "imdb", "dataset_sha256": "0" * 64}
    facts["reference"] = {"length_edges": [2.0, 3.0], "lengths": [50, 50, 0], "words": [90, 10], "scores": [10] * 10}
    BundleFacts.model_validate(facts).write(folder)
    write_network(network, labels, folder / "model.onnx")
    return open_keras("imdb-classifier version 1", folder)


def packaged_classifier() -> Path:
    """Return the folder of a classifier with two labels, which all test processes share."""

    def make(folder: Path) -> None:
        folder.mkdir()
        make_classifier(folder)

    return made_once("classifier", make)


def open_classifier() -> KerasClassifier:
    """Open the classifier that the test processes share."""
    return open_keras("imdb-classifier version 1", packaged_classifier())
