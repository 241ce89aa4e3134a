"""Evaluate: metrics of the network and of the baseline from their scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.layout import METRICS
from tasks.core.settings import MetricsSettings
from tasks.evaluation.metrics import accuracy_by_length, accuracy_by_slice, compare, measure_scores
from tasks.evaluation.result_files import Evaluation
from tasks.evaluation.scores import Scores, read_scores
from tasks.evaluation.selection_metric import compare_metric
from tasks.store.step import step
from tasks.texts.dataset import Dataset
from tasks.texts.padded import PaddedFile, padded_file
from tasks.texts.slices import read_slices


def compare_classifiers(first: Scores, second: Scores, settings: MetricsSettings) -> dict[str, Any]:
    """Return the `PairedTest` of two classifiers on the same texts, by the metric of the settings."""
    verdicts = np.stack([scores.verdicts(settings.threshold) for scores in (first, second)])
    compared = compare(first.labels, *verdicts)
    if settings.metric in (None, "accuracy"):
        return compared
    probabilities = np.stack([first.probabilities, second.probabilities])
    return compared | compare_metric(settings.metric, first.labels, verdicts, probabilities)


@step()
def evaluate(
    *,
    downloaded: Path,
    padded: Path,
    scored: Path,
    baselined: Path,
    sliced: Path | None,
    settings: MetricsSettings,
    folder: Path,
) -> dict[str, float]:
    """Write metrics.json, an `Evaluation`, and return the accuracy of both classifiers on the test reviews."""
    names = Dataset.read(downloaded).labels
    judged: dict[str, Any] = {}
    for split in ("test", "validation"):
        scores = read_scores(scored, split)
        lengths = PaddedFile(padded_file(padded, split)).words_kept()
        judged[split] = measure_scores(scores, names, settings) | {
            "by_length": accuracy_by_length(scores, lengths, settings.threshold)
        }
    network, baseline = read_scores(scored, "test"), read_scores(baselined, "test")
    if sliced:
        judged["test"]["by_slice"] = accuracy_by_slice(network, read_slices(sliced), settings.threshold)
    judged["baseline"] = measure_scores(baseline, names, settings) | {
        "comparison": compare_classifiers(network, baseline, settings)
    }
    (folder / METRICS).write_text(json.dumps(Evaluation.model_validate(judged).as_json(), indent=1))
    return {"network": judged["test"]["accuracy"], "baseline": judged["baseline"]["accuracy"]}
