"""Evaluate: metrics of the chosen model and of the baseline from their scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.data_settings import OrderSettings
from tasks.core.layout import METRICS
from tasks.core.run_settings import MetricsSettings
from tasks.evaluation import metrics
from tasks.evaluation.predictions import Calibration, decision_rule, divide_logits, read_scores
from tasks.evaluation.selection_metric import Candidates
from tasks.evaluation.significance import compare_scores
from tasks.store.step import run_logger, step
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import read_original_labels
from tasks.texts.groups import read_slices
from tasks.texts.padded import PaddedFile, padded_file

NO_ANSWER = """No text will be answered: the validation texts are too few or the network too weak for an error below %g.
  Raise evaluation.abstain_error, or keep more texts for validation."""


@step()
def evaluate(
    *,
    downloaded: Path,
    padded: Path,
    scored: Path,
    selected: Path,
    baselined: Path,
    sliced: Path | None,
    data: OrderSettings,
    settings: MetricsSettings,
    folder: Path,
) -> dict[str, float]:
    """Write metrics.json; return the test accuracies of the chosen model and of the baseline."""
    names = Dataset.read(downloaded).labels
    rule = decision_rule(settings, names)
    temperature = Calibration.read(selected).temperature
    judged: dict[str, Any] = {"temperature": temperature} if temperature else {}
    judged["candidates"] = Candidates.read(selected).model_dump()
    chosen = {split: read_scores(selected, split) for split in ("test", "validation")}
    for split, scores in chosen.items():
        lengths = PaddedFile(padded_file(padded, split)).words_kept()
        judged[split] = metrics.measure_scores(scores, names, settings) | {
            "by_length": metrics.accuracy_by_length(scores, lengths, rule)
        }
        if temperature:
            before = divide_logits(scores.probabilities, 1 / temperature)
            judged[split]["ece_before"] = metrics.calibration_error(scores.labels, before, settings.calibration_bins)
    network, baseline = (read_scores(its, "test") for its in (scored, baselined))
    if settings.abstain_error is not None:
        confidence = metrics.find_confidence_threshold(chosen["validation"], rule, settings.abstain_error)
        judged["answers"] = metrics.measure_answers(chosen["test"], rule, confidence)
        if confidence == 1:
            run_logger().warning(NO_ANSWER, settings.abstain_error)
    if sliced:
        judged["test"]["by_slice"] = metrics.accuracy_by_slice(chosen["test"], read_slices(sliced), rule)
    original = read_original_labels(downloaded, data)
    if original is not None and (known := original >= 0).any():
        is_right = chosen["test"].verdicts(rule) == original
        judged["test"]["original_labels"] = metrics.judge_groups(known, is_right)[True]
    verdicts = np.stack([its.verdicts(rule) for its in (network, baseline)])
    probabilities = np.stack([its.probabilities for its in (network, baseline)])
    judged["baseline"] = metrics.measure_scores(baseline, names, settings) | {
        "comparison": compare_scores(settings.metric, network.labels, verdicts, probabilities, one_sided=False)
    }
    (folder / METRICS).write_text(json.dumps(judged, indent=1))
    return {"chosen": judged["test"]["accuracy"], "baseline": judged["baseline"]["accuracy"]}
