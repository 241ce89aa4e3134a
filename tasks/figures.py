"""Figures: the figures of a run, and its findings: mistakes and confusions."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tasks.core.data_settings import OrderSettings
from tasks.core.layout import FINDINGS, METRICS
from tasks.core.run_settings import MetricsSettings
from tasks.evaluation import plots
from tasks.evaluation.findings import most_confused, read_texts, worst_mistakes
from tasks.evaluation.predictions import Scores, decision_rule, read_scores
from tasks.evaluation.training_history import Training
from tasks.store.step import step
from tasks.texts.encoded import read_words


def rankings_of(network: Scores, baseline: Scores, chosen: Scores, names: Sequence[str]) -> list[plots.Ranking]:
    """Return the curves to draw: of network and baseline, or with more than two labels of each, by the chosen model."""
    if len(names) == 2:
        both = ("network", network.probabilities), ("linear baseline", baseline.probabilities)
        return [(name, network.labels, probabilities) for name, probabilities in both]
    return [(name, chosen.labels == label, chosen.probabilities[:, label]) for label, name in enumerate(names)]


@step()
def figures(
    *,
    downloaded: Path,
    encoded: Path,
    trained: Path,
    scored: Path,
    baselined: Path,
    evaluated: Path,
    data: OrderSettings,
    settings: MetricsSettings,
    folder: Path,
) -> None:
    """Write the figures and findings.json."""
    training, test = Training.read(trained), json.loads((evaluated / METRICS).read_text())["test"]
    network, baseline, chosen = (read_scores(folder, "test") for folder in (scored, baselined, evaluated))
    names = [its["label"] for its in test["by_label"]]
    rule = decision_rule(settings, names)
    is_few = len(names) <= plots.MOST_CURVES
    drawn = {
        "learning_curves": plots.draw_learning_curves(training.history, training.best_epoch),
        **({"rankings": plots.draw_rankings(rankings_of(network, baseline, chosen, names))} if is_few else {}),
        "verdicts": plots.draw_verdicts(test["confusion"], names, chosen, rule, settings.calibration_bins),
        "scores": plots.draw_scores(chosen, names, rule, test["by_length"]),
    }
    for name, figure in drawn.items():
        plots.save_figure(figure, folder / f"{name}.svg", title=name.replace("_", " "))
    read = partial(read_texts, encoded, downloaded, data)
    findings = {
        "words": read_words(encoded),
        "mistakes": worst_mistakes(read, chosen, names, rule),
        "confused": most_confused(read, chosen, names, rule) if len(names) > 2 else [],
    }
    (folder / FINDINGS).write_text(json.dumps(findings, indent=1))
