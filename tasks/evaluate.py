"""Evaluate: choose the network or the linear model by the validation texts, and measure it and the baseline.

The baseline is the linear model as it was fitted; as a candidate it is calibrated, if the network is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.layout import METRICS
from tasks.core.run_settings import Considered, MetricsSettings
from tasks.evaluation import metrics
from tasks.evaluation.candidates import choose
from tasks.evaluation.findings import describe_choice
from tasks.evaluation.predictions import (
    Calibration,
    Scores,
    decision_rule,
    divide_logits,
    fit_temperature,
    read_scores,
    write_scores,
)
from tasks.evaluation.significance import compare_scores
from tasks.network.keras_files import MODEL, divide_weights, load_model, save_model
from tasks.network.onnx_export import write_network
from tasks.network.scoring import NETWORK
from tasks.store.step import run_logger, step
from tasks.texts.dataset_info import Dataset
from tasks.texts.padded import PaddedFile, padded_file

NO_ANSWER = """No text will be answered: the validation texts are too few or the network too weak for an error below %g.
  Raise evaluation.abstain_error, or keep more texts for validation."""


@dataclass(frozen=True)
class Model:
    """A model's scores by split, and the temperature by which its logits were divided; None if it is not calibrated."""

    scores: dict[str, Scores]
    temperature: float | None


def read_splits(folder: Path) -> dict[str, Scores]:
    """Read the scores of the test and validation texts."""
    return {split: read_scores(folder, split) for split in ("test", "validation")}


def calibrated(scores: dict[str, Scores]) -> Model:
    """Return a model whose temperature is fitted on the validation texts."""
    temperature = fit_temperature(scores["validation"])
    return Model({split: its.divided(temperature) for split, its in scores.items()}, temperature)


def write_linear_model(baselined: Path, temperature: float | None, names: Sequence[str], folder: Path) -> None:
    """Write the linear model, calibrated, for Keras and ONNX Runtime."""
    model = load_model(baselined / MODEL)
    if temperature:
        divide_weights(model, temperature)
    save_model(model, folder / MODEL)
    write_network(model, names, folder / NETWORK)


def measure_chosen(chosen: Model, padded: Path, names: Sequence[str], settings: MetricsSettings) -> dict[str, Any]:
    """Return the metrics of each split, and of the test texts that are answered, if not all are."""
    rule, judged = decision_rule(settings, names), {}
    for split, scores in chosen.scores.items():
        lengths = PaddedFile(padded_file(padded, split)).words_kept()
        judged[split] = metrics.measure_scores(scores, names, settings) | {
            "by_length": metrics.accuracy_by_length(scores, lengths, rule)
        }
        if chosen.temperature:
            before = divide_logits(scores.probabilities, 1 / chosen.temperature)
            judged[split]["ece_before"] = metrics.calibration_error(scores.labels, before, settings.calibration_bins)
    if settings.abstain_error is not None:
        confidence = metrics.find_confidence_threshold(chosen.scores["validation"], rule, settings.abstain_error)
        judged["answers"] = metrics.measure_answers(chosen.scores["test"], rule, confidence)
        if confidence == 1:
            run_logger().warning(NO_ANSWER, settings.abstain_error)
    return judged


def measure_baseline(
    baseline: Scores, network: Scores, names: Sequence[str], settings: MetricsSettings
) -> dict[str, Any]:
    """Return the baseline's metrics of the test texts, and the comparison of the network with it."""
    both, rule = (network, baseline), decision_rule(settings, names)
    verdicts = np.stack([its.verdicts(rule) for its in both])
    probabilities = np.stack([its.probabilities for its in both])
    comparison = compare_scores(settings.metric, network.labels, verdicts, probabilities, one_sided=False)
    return metrics.measure_scores(baseline, names, settings) | {"comparison": comparison}


@step()
def evaluate(
    *,
    downloaded: Path,
    padded: Path,
    scored: Path,
    baselined: Path,
    settings: MetricsSettings,
    considered: Considered,
    folder: Path,
) -> dict[str, float]:
    """Write metrics.json and the chosen model's scores; return the test accuracies of that model and of the baseline.

    If the linear model is chosen, it is written too.
    """
    names = Dataset.read(downloaded).labels
    rule, metric = decision_rule(settings, names), settings.metric or "accuracy"
    network, baseline = Model(read_splits(scored), Calibration.read(scored).temperature), read_splits(baselined)
    linear = calibrated(baseline) if network.temperature else Model(baseline, None)
    candidates = choose(linear.scores["validation"], network.scores["validation"], metric, rule, considered)
    chosen = network
    if candidates.chosen == "linear":
        chosen = linear
        write_linear_model(baselined, linear.temperature, names, folder)
        run_logger().info(describe_choice(candidates))
    for split, scores in chosen.scores.items():
        write_scores(folder, split, scores)
    judged: dict[str, Any] = {"temperature": chosen.temperature} if chosen.temperature else {}
    judged |= {"candidates": candidates.model_dump()} | measure_chosen(chosen, padded, names, settings)
    judged["baseline"] = measure_baseline(baseline["test"], network.scores["test"], names, settings)
    (folder / METRICS).write_text(json.dumps(judged, indent=1))
    return {"chosen": judged["test"]["accuracy"], "baseline": judged["baseline"]["accuracy"]}
