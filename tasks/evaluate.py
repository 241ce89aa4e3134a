"""Evaluate: metrics of the network and of the baseline from their scores."""

import json
from pathlib import Path
from typing import Any

from tasks.core.layout import METRICS
from tasks.core.settings import MetricsSettings
from tasks.evaluation.metrics import accuracy_by_length, accuracy_by_slice, compare, measure_scores
from tasks.evaluation.result_files import Evaluation
from tasks.evaluation.scores import read_scores
from tasks.store.step import step
from tasks.texts.dataset import Dataset
from tasks.texts.padded import PaddedFile, padded_file
from tasks.texts.slices import read_slices


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
    verdicts = network.verdicts(settings.threshold), baseline.verdicts(settings.threshold)
    judged["baseline"] = measure_scores(baseline, names, settings) | {"comparison": compare(network.labels, *verdicts)}
    (folder / METRICS).write_text(json.dumps(Evaluation.model_validate(judged).as_json(), indent=1))
    return {"network": judged["test"]["accuracy"], "baseline": judged["baseline"]["accuracy"]}
