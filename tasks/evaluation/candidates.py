"""Candidates: the network and the linear model on the validation texts, and the choice between them."""

from typing import Literal

import numpy as np
from pydantic import BaseModel

from tasks.core.run_settings import Considered, Metric
from tasks.evaluation.predictions import Rule, Scores
from tasks.evaluation.selection_metric import measure
from tasks.evaluation.significance import standard_errors


class CandidateMetrics(BaseModel):
    """A candidate on the validation texts."""

    value: float
    log_loss: float


class Candidates(BaseModel):
    """Which model is packaged, and why, as metrics.json has it."""

    considered: Literal["best", "network"]
    chosen: Literal["linear", "network"]
    metric: str
    network: CandidateMetrics
    linear: CandidateMetrics


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
