"""Select: whether the network or the linear model is packaged, by the validation texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.core.run_settings import Considered, Metric, MetricsSettings
from tasks.evaluation.findings import describe_choice
from tasks.evaluation.predictions import (
    Calibration,
    Rule,
    Scores,
    decision_rule,
    fit_temperature,
    read_scores,
    write_scores,
)
from tasks.evaluation.result_files import Candidate, CandidateMetrics, Candidates
from tasks.evaluation.selection_metric import measure, standard_errors
from tasks.network.keras_files import MODEL, divide_weights, load_model, save_model
from tasks.network.onnx_export import write_network
from tasks.network.scoring import NETWORK
from tasks.store.step import run_logger, step
from tasks.texts.dataset import Dataset

SPLITS = ("test", "validation")


def measure_candidate(scores: Scores, metric: Metric, rule: Rule) -> CandidateMetrics:
    """Return the metrics of the scores of the validation texts."""
    verdicts = scores.verdicts(rule)
    value, log_loss = (measure(name, scores.labels, verdicts, scores.probabilities) for name in (metric, "log_loss"))
    return CandidateMetrics(value=value, log_loss=log_loss)


def write_linear(baselined: Path, names: Sequence[str], temperature: float | None, folder: Path) -> None:
    """Write the linear model for Keras and ONNX Runtime, calibrated, as `score` does with the network."""
    model = load_model(baselined / MODEL)
    if temperature:
        divide_weights(model, temperature)
    save_model(model, folder / MODEL)
    write_network(model, names, folder / NETWORK)


def is_better(first: Scores, second: Scores, metric: Metric, rule: Rule) -> bool:
    """Return whether the first of two classifiers leads on the same texts by more than one standard error.

    It does so by the metric, or by log loss if they are within one standard error of the metric. This is the rule of
    Breiman, Friedman, Olshen and Stone (Classification and regression trees, 1984), with the error of the paired
    difference: a lead that is smaller is noise, and does not justify a larger model.
    """
    verdicts = np.stack([its.verdicts(rule) for its in (first, second)])
    probabilities = np.stack([first.probabilities, second.probabilities])
    leads = (standard_errors(name, first.labels, verdicts, probabilities) for name in (metric, "log_loss"))
    return next((lead for lead in leads if abs(lead) > 1), 0) > 1


def choose(validation: Mapping[Candidate, Scores], metric: Metric, rule: Rule, considered: Considered) -> Candidates:
    """Choose among the scores of the validation texts, the simplest first: a model has to be better than a simpler one.

    `rule` makes labels of probabilities; `considered` is "network" if no other may be chosen.
    """
    chosen: Candidate = "linear"
    for name, scores in validation.items():
        if name == considered or is_better(scores, validation[chosen], metric, rule):
            chosen = name
    measured = {name: measure_candidate(scores, metric, rule) for name, scores in validation.items()}
    return Candidates(considered=considered, chosen=chosen, metric=metric, **measured)


@step()
def select(
    *,
    downloaded: Path,
    scored: Path,
    baselined: Path,
    settings: MetricsSettings,
    considered: Considered,
    calibrate: bool,
    folder: Path,
) -> dict[str, str]:
    """Write candidates.json, and the chosen model's scores and temperature; return which it is.

    If it is the linear model, this is written too.
    """
    names, metric = Dataset.read(downloaded).labels, settings.metric or "accuracy"
    linear, network = ({split: read_scores(its, split) for split in SPLITS} for its in (baselined, scored))
    rule = decision_rule(settings, names)
    temperature = fit_temperature(linear["validation"]) if calibrate else None
    if temperature:
        linear = {split: scores.divided(temperature) for split, scores in linear.items()}
    by_name: dict[Candidate, dict[str, Scores]] = {"linear": linear, "network": network}
    validation = {name: its["validation"] for name, its in by_name.items()}
    candidates = choose(validation, metric, rule, considered)
    candidates.write(folder)
    if candidates.chosen == "linear":
        write_linear(baselined, names, temperature, folder)
        run_logger().info(describe_choice(candidates))
    else:
        temperature = Calibration.read(scored).temperature
    Calibration(temperature=temperature).write(folder)
    for split in SPLITS:
        write_scores(folder, split, by_name[candidates.chosen][split])
    return {"chosen": candidates.chosen}
