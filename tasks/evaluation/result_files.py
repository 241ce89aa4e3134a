"""The result file metrics.json: what it holds; docs/metrics.md is made from these models."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.core.machine import Machine


class Record(BaseModel):
    """A part of a result file; an unknown key is an error, so that every key has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON values; keys that were not set are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class PartMetrics(Record):
    """The accuracy on a part of a split."""

    reviews: int
    """number of reviews"""
    accuracy: float
    """share of correct verdicts"""
    ci95: tuple[float, float]
    """[low, high]: 95% interval of the accuracy (Wilson, 1927)"""


class LengthMetrics(PartMetrics):
    """The accuracy on reviews of similar length."""

    from_: int = Field(alias="from")
    """least number of words kept"""
    to: int
    """greatest number of words kept"""


class SliceMetrics(PartMetrics):
    """The accuracy on the test reviews with one value of --evaluation.slice-column."""

    value: str | None
    """the value; null for all values with fewer reviews than --evaluation.min-slice-rows together"""


class Averages(Record):
    """Means over the labels."""

    precision: float
    recall: float
    f1: float


class LabelMetrics(Averages):
    """The metrics of one label."""

    label: str
    """its name"""
    support: int
    """its reviews"""


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
    weighted: Averages | None = None
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
    by_label: list[LabelMetrics]
    """`label` (name), `support` (reviews), `precision`, `recall` and `f1` of each label"""
    by_length: list[LengthMetrics] | None = None
    """not for the baseline: `accuracy`, `ci95` and `reviews` of the reviews with `from` to `to` words kept"""
    by_slice: list[SliceMetrics] | None = None
    """only for `test` and with `--evaluation.slice-column`: `accuracy`, `ci95` and `reviews` of each `value` of that
    column, the worst first; `value` null stands for all with fewer than `--evaluation.min-slice-rows` reviews"""


class PairedTest(Record):
    """Two classifiers on the same reviews."""

    metric: str = "accuracy"
    """of --metric"""
    difference: float
    """by which the first is better in the metric"""
    ci95: tuple[float, float] | None = None
    """[low, high]: 95% interval of the difference"""
    only_first: int
    """reviews that only the first got right"""
    only_second: int
    """reviews that only the second got right"""
    p_value: float
    """of McNemar's exact test; of a paired permutation test if the metric is not accuracy"""


class BaselineMetrics(SplitMetrics):
    """The metrics of the linear baseline on the test split."""

    comparison: PairedTest


class AnswerMetrics(Record):
    """The test reviews that are answered."""

    confidence_threshold: float
    """the probability that an answered review's verdict exceeds, chosen on the validation reviews"""
    unanswered: float
    """share of the test reviews"""
    error: float | None
    """share of wrong verdicts among the answered test reviews; null if none is answered"""


class CandidateMetrics(Record):
    """A candidate on the validation texts."""

    value: float
    log_loss: float


CANDIDATES = "candidates.json"


class Candidates(Record):
    """What the step `select` writes: which model is packaged, and why."""

    considered: Literal["best", "network"]
    chosen: Literal["network", "linear"]
    metric: str
    network: CandidateMetrics
    linear: CandidateMetrics

    @classmethod
    def read(cls, selected: Path) -> "Candidates":
        """Read the choice from the folder of the step `select`."""
        return cls.model_validate_json((selected / CANDIDATES).read_bytes())


class Evaluation(Record):
    """What the step `evaluate` writes."""

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
    answers: AnswerMetrics | None = None
    """only with `--evaluation.abstain-error`: `confidence_threshold`, which the probability of an answered verdict
    exceeds; `unanswered`, a share of the test reviews; `error` of the others (null if none)"""


class RunMetrics(Evaluation):
    """What metrics.json of a run folder holds."""

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
