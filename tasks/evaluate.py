"""Evaluate: metrics of the network and of the baseline from their scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task

from tasks.core.layout import METRICS
from tasks.core.settings import MetricsSettings
from tasks.evaluation.metrics import accuracy_by_length, accuracy_by_slice, compare, measure_scores
from tasks.evaluation.result_files import Evaluation
from tasks.evaluation.scores import read_scores
from tasks.store.artifact import Artifact
from tasks.store.caching import BY_CONTENT, keep, path_of
from tasks.texts.dataset import read_dataset
from tasks.texts.padded import PaddedFile, lengths_of, padded_file
from tasks.texts.slices import read_slices


def evaluate_scores(
    downloaded: Path,
    padded: Path,
    evaluated: Path,
    baselined: Path,
    divided: Path | None,
    settings: MetricsSettings,
    folder: Path,
) -> dict[str, float]:
    """Write metrics.json, an `Evaluation`, and return the accuracy of both classifiers on the test reviews."""
    names = read_dataset(downloaded).labels
    judged: dict[str, Any] = {}
    for split in ("test", "validation"):
        scores = read_scores(evaluated, split)
        lengths = np.concatenate(lengths_of(PaddedFile(padded_file(padded, split))))
        judged[split] = measure_scores(scores, names, settings) | {
            "by_length": accuracy_by_length(scores, lengths, settings.threshold)
        }
    network, baseline = read_scores(evaluated, "test"), read_scores(baselined, "test")
    if divided:
        judged["test"]["by_slice"] = accuracy_by_slice(network, read_slices(divided), settings.threshold)
    verdicts = network.verdicts(settings.threshold), baseline.verdicts(settings.threshold)
    judged["baseline"] = measure_scores(baseline, names, settings) | {"comparison": compare(network.labels, *verdicts)}
    (folder / METRICS).write_text(json.dumps(Evaluation.model_validate(judged).as_json(), indent=1))
    return {"network": judged["test"]["accuracy"], "baseline": judged["baseline"]["accuracy"]}


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="evaluate")
def evaluate(
    downloaded: Artifact,
    padded: Artifact,
    evaluated: Artifact,
    baselined: Artifact,
    divided: Artifact | None,
    settings: MetricsSettings,
) -> Artifact:
    """Judge the network and the baseline by their scores; neither is fitted or run for it."""
    paths = path_of(downloaded), path_of(padded), path_of(evaluated), path_of(baselined)
    slices = path_of(divided) if divided else None
    return keep(lambda folder: evaluate_scores(*paths, slices, settings, folder))
