"""Select: whether the network or the linear model is packaged, by the validation texts."""

from collections.abc import Sequence
from pathlib import Path

from tasks.core.settings import Considered, Metric, MetricsSettings
from tasks.evaluation.findings import describe_choice
from tasks.evaluation.result_files import CandidateMetrics, Candidates
from tasks.evaluation.scores import Calibration, Rule, Scores, decision_rule, fit_temperature, read_scores, write_scores
from tasks.evaluation.selection_metric import as_cost, measure
from tasks.network.keras_files import MODEL, divide_weights, load_model, save_model
from tasks.network.onnx_network import write_network
from tasks.network.scoring import NETWORK
from tasks.store.step import step, step_logger
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


def choose(network: CandidateMetrics, linear: CandidateMetrics, metric: Metric, considered: Considered) -> Candidates:
    """Choose by the metric, ties by log loss; the network has to be better, unless it alone is considered."""
    costs = [(as_cost(metric, its.value), its.log_loss) for its in (network, linear)]
    chosen = "network" if costs[0] < costs[1] or considered == "network" else "linear"
    return Candidates(considered=considered, chosen=chosen, metric=metric, network=network, linear=linear)


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
    network, linear = ({split: read_scores(its, split) for split in SPLITS} for its in (scored, baselined))
    rule = decision_rule(settings, names)
    temperature = fit_temperature(linear["validation"]) if calibrate else None
    if temperature:
        linear = {split: scores.divided(temperature) for split, scores in linear.items()}
    first, second = (measure_candidate(its["validation"], metric, rule) for its in (network, linear))
    candidates = choose(first, second, metric, considered)
    candidates.write(folder)
    if candidates.chosen == "linear":
        write_linear(baselined, names, temperature, folder)
        step_logger().info(describe_choice(candidates))
    else:
        temperature = Calibration.read(scored).temperature
    Calibration(temperature=temperature).write(folder)
    for split in SPLITS:
        write_scores(folder, split, (linear if candidates.chosen == "linear" else network)[split])
    return {"chosen": candidates.chosen}
