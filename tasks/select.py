"""Select: whether the network or the linear model is packaged, by the validation texts."""

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
from tasks.evaluation.selection_metric import CandidateMetrics, Candidates, measure
from tasks.evaluation.significance import standard_errors
from tasks.network.keras_files import MODEL, divide_weights, load_model, save_model
from tasks.network.onnx_export import write_network
from tasks.network.scoring import NETWORK
from tasks.store.step import run_logger, step
from tasks.texts.dataset_info import Dataset

SPLITS = ("test", "validation")


def measure_candidate(scores: Scores, metric: Metric, rule: Rule) -> CandidateMetrics:
    """Return the metrics of the scores of the validation texts."""
    verdicts = scores.verdicts(rule)
    value, log_loss = (measure(name, scores.labels, verdicts, scores.probabilities) for name in (metric, "log_loss"))
    return CandidateMetrics(value=value, log_loss=log_loss)


def is_better(first: Scores, second: Scores, metric: Metric, rule: Rule) -> bool:
    """Return whether the first of two classifiers leads on the same texts by more than one standard error.

    It does so by the metric, or by log loss if it is at least as good by the metric. This is the rule of Breiman,
    Friedman, Olshen and Stone (Classification and regression trees, 1984), with the error of the paired difference: a
    lead that is smaller is noise, and does not justify a larger model.
    """
    verdicts = np.stack([its.verdicts(rule) for its in (first, second)])
    probabilities = np.stack([first.probabilities, second.probabilities])
    lead, likelihood = (standard_errors(name, first.labels, verdicts, probabilities) for name in (metric, "log_loss"))
    return lead > 1 or (lead >= 0 and likelihood > 1)


def choose(linear: Scores, network: Scores, metric: Metric, rule: Rule, considered: Considered) -> Candidates:
    """Choose by the scores of the validation texts: the network has to be better than the linear model.

    `rule` makes labels of probabilities; `considered` is "network" if no other may be chosen.
    """
    is_network = considered == "network" or is_better(network, linear, metric, rule)
    both = {"network": network, "linear": linear}
    measured = {name: measure_candidate(scores, metric, rule) for name, scores in both.items()}
    return Candidates(considered=considered, chosen="network" if is_network else "linear", metric=metric, **measured)


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
    candidates = choose(linear["validation"], network["validation"], metric, rule, considered)
    candidates.write(folder)
    chosen = network
    if candidates.chosen == "linear":
        chosen, model = linear, load_model(baselined / MODEL)
        if temperature:
            divide_weights(model, temperature)
        save_model(model, folder / MODEL)
        write_network(model, names, folder / NETWORK)
        run_logger().info(describe_choice(candidates))
    else:
        temperature = Calibration.read(scored).temperature
    Calibration(temperature=temperature).write(folder)
    for split, scores in chosen.items():
        write_scores(folder, split, scores)
    return {"chosen": candidates.chosen}
