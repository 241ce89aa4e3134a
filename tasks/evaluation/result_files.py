"""Result files: training.json, candidates.json and metrics.json, from which docs/metrics.md is made."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.machine import Machine
from tasks.texts.dataset import JsonFile


class Epoch(BaseModel):
    """Results of one epoch: losses, metrics of the training and validation texts, seconds.

    Attributes:
        cost: the selection metric on the validation texts, negated if more is better; None without such a metric.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    epoch: int
    loss: float
    val_loss: float
    cost: float | None = None
    seconds: float


class Training(JsonFile):
    """The metrics of each epoch, and which epoch was kept.

    Attributes:
        bucketing: whether texts were padded to the next multiple of 32, or all to maxlen.
        best_epoch: the epoch with the lowest cost, or validation loss without one.
        kept_epoch: the epoch whose weights were kept.
        history: the metrics of each epoch, without its seconds, which differ each time.
    """

    FILE = "training.json"

    bucketing: bool
    best_epoch: int
    kept_epoch: int
    history: list[dict[str, int | float]]


def write_training(folder: Path, history: list[Epoch], *, bucketing: bool, keep_best: bool) -> None:
    """Write training.json, of at least one epoch."""
    best = best_epoch(history)
    kept = best if keep_best else history[-1].epoch
    metrics = [epoch.model_dump(exclude={"seconds"}, exclude_none=True) for epoch in history]
    Training(bucketing=bucketing, best_epoch=best, kept_epoch=kept, history=metrics).write(folder)


def best_epoch(history: list[Epoch]) -> int:
    """Return the epoch with the lowest cost, or validation loss without one; the earliest if several are equal."""
    return min(history, key=lambda epoch: epoch.val_loss if epoch.cost is None else epoch.cost).epoch


class CandidateMetrics(BaseModel):
    """A candidate on the validation texts."""

    value: float
    log_loss: float


class Candidates(JsonFile):
    """What the step `select` writes: which model is packaged, and why."""

    FILE = "candidates.json"

    considered: Literal["best", "network"]
    chosen: Literal["network", "linear"]
    metric: str
    network: CandidateMetrics
    linear: CandidateMetrics


class Record(BaseModel):
    """A part of metrics.json; an unknown key is an error, so that every key has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SplitMetrics(Record):
    """The metrics of a classifier on a split."""

    accuracy: float
    """share of correct verdicts"""
    precision: float
    """of the positive label, 0 if no review was called positive; with more labels the mean over the labels (macro)"""
    recall: float
    """of the positive label, or the macro mean"""
    f1: float
    """of the positive label, or the macro mean"""
    weighted: dict[str, float] | None = None
    """only with more than two labels: `precision`, `recall` and `f1`, means weighted by the labels' reviews"""
    roc_auc: float
    """area under the ROC curve; with more labels the mean over the labels of each against the rest (Provost and
    Domingos, 2001, unweighted)"""
    log_loss: float
    """negative mean of the logarithm of the probability of the true label"""
    brier: float
    """mean squared difference of probability and label; with more labels summed over the labels (Brier, 1950)"""
    f1_macro: float | None = None
    """mean over the labels of F1"""
    balanced_accuracy: float | None = None
    """mean over the labels of recall"""
    mcc: float | None = None
    """Matthews' correlation coefficient (with more than two labels Gorodkin, 2004)"""
    average_precision: float | None = None
    """mean precision over the recall of the positive label; with more labels the mean over the labels of each against
    the rest"""
    mean_cost: float | None = None
    """only with `--evaluation.cost`: mean cost of the verdicts"""
    ece: float
    """expected calibration error: Σ over bins of (n_bin / n) · \\|mean label - mean probability\\|, with
    `--evaluation.calibration-bins` bins of equal width (Naeini, Cooper and Hauskrecht, 2015); with more labels the
    verdict's probability against the share of correct verdicts (Guo et al., 2017)"""
    ece_before: float | None = None
    """only with `--evaluation.calibrate`: `ece` before it"""
    ci95: tuple[float, float]
    """[low, high]: 95% interval of the accuracy (Wilson, 1927)"""
    confusion: list[list[int]]
    """one row per label, one column per verdict; with two labels [[true negatives, false positives], [false negatives,
    true positives]]"""
    by_label: list[dict[str, Any]]
    """`label` (name), `support` (reviews), `precision`, `recall` and `f1` of each label"""
    by_length: list[dict[str, Any]] | None = None
    """not for the baseline: `accuracy`, `ci95` and `reviews` of the reviews with `from` to `to` words kept"""
    by_slice: list[dict[str, Any]] | None = None
    """only for `test` and with `--evaluation.slice-column`: `accuracy`, `ci95` and `reviews` of each `value` of that
    column, the worst first; `value` null stands for all with fewer than `--evaluation.min-slice-rows` reviews"""


class BaselineMetrics(SplitMetrics):
    """The metrics of the linear baseline on the test split."""

    comparison: dict[str, Any]


class RunMetrics(Record):
    """What metrics.json of a run folder holds; the step `evaluate` writes the keys before `dataset`."""

    candidates: Candidates
    """`chosen`, the model that is registered (network or linear), `considered` (`--promotion.candidates`), `metric`
    (of --metric, else accuracy), and its `value` and the `log_loss` of `network` and `linear` on validation texts"""
    test: SplitMetrics
    """the metrics below of the chosen model on the test split"""
    validation: SplitMetrics
    """the same on the validation split"""
    baseline: BaselineMetrics
    """the metrics below of the linear baseline on the test split, and `comparison`: `metric` (of --metric, else
    accuracy), `difference` (by which the network is better) and its 95% interval `ci95` (Agresti and Min, 2005;
    stratified paired bootstrap if the metric is not accuracy), `only_first` and `only_second` (reviews that only the
    network, or only the baseline, got right), `p_value` of McNemar's exact test (a paired permutation test if the
    metric is not accuracy)"""
    temperature: float | None = None
    """of `--evaluation.calibrate`, by which the logits were divided"""
    answers: dict[str, float | None] | None = None
    """only with `--evaluation.abstain-error`: `confidence_threshold`, which the probability of an answered verdict
    exceeds; `unanswered`, a share of the test reviews; `error` of the others (null if none)"""
    dataset: dict[str, Any]
    """`name`, `source`, `sha256` of the source, `labels`, the number of `train`, `validation` and `test` reviews; for
    your own texts `check`: rows and labels of each split, duplicates and leaks"""
    model: dict[str, int | bool]
    """`parameters`, `best_epoch` by validation loss or --metric, `kept_epoch` whose weights were kept, `bucketing`"""
    history: list[dict[str, int | float]]
    """one entry per epoch: `epoch`, `loss`, `accuracy`, `precision`, `recall`, the same with the prefix `val_`, and
    `seconds`"""
    steps: list[dict[str, str | float | bool | None]]
    """one entry per step: `name`, `seconds` (null if it failed, as `track` may), `cached`, `cause` (why it ran: what
    differs from the nearest artifact)"""
    artifacts: dict[str, dict[str, str]]
    """for each step the `key` (its folder in the store) and the `sha256` of its content"""
    auto: dict[str, Any] | None = None
    """only with `--preset auto`: `minutes`, `metric` and `tried`: `stage`, `seconds`, `value` (the metric on the
    validation reviews, null if the stage was skipped or stopped) and `note` (why)"""
    machine: Machine
    """`commit` and `dirty` (null outside a checkout), `processor`, `cores`, `memory_gb`"""
    versions: dict[str, str]
    """of Python and the libraries"""
    tracking: dict[str, Any] | None
    """`uri` (null for the database in the store), `experiment_id`, `run_id`, `model`, `version` in MLflow, `content` (a
    hash of the settings and artifacts); null if the run was not tracked"""
    promotion: dict[str, Any] | None
    """`decision` (champion, challenger or neither), `reason`, `model`, `version`, `against` (the champion's version),
    `at`, `by` (run or hand), `asked` (the settings), and if the two were compared `reviews`, `left_out` (reviews that
    the champion was trained on), `metric`, `difference` and its 95% interval `ci95`, `only_first`, `only_second`,
    `p_value` (one-sided), `level` (the p-value had to be below it) and `attempt`; null if the run was not tracked"""
