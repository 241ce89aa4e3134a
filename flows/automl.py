"""AutoML (`--preset auto`): the best model within a time, by the selection metric on the validation texts.

    stage    runs                                                 predicted to take
    linear   always
    fast     in time; always if only a network may be registered  FAST_BY_LINEAR times as long as linear
    tuned    in time, after fast                                  TUNED_BY_FAST times as long as fast
    search   in time, up to MAX_TRIALS around the better one      as long as that one, or the longest trial
    refit    in time, after the choice, on more texts             as long as the chosen one, and linear

In time: what is predicted ends before the steps after the choice, and the leader's refit, have to begin.
"""

from tasks.reporting.command_line import read_preset

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flows.training import search, train_trial, trial_flow
from tasks.baseline import baseline
from tasks.core.command_settings import CompareSettings
from tasks.core.errors import InputError, PipelineError, TrainingError
from tasks.core.run_settings import ModelSettings, RunSettings, TrainingSettings
from tasks.encode import encode
from tasks.evaluation.comparison_members import found_member
from tasks.evaluation.optuna_search import best_trial
from tasks.evaluation.predictions import read_scores
from tasks.evaluation.selection_metric import as_cost, measure
from tasks.store.artifact import Artifact
from tasks.store.fingerprint import StepPlan
from tasks.store.shared_store import open_store
from tasks.store.step import flow, planning, run_logger
from tasks.texts.validation import ENOUGH_ROWS

PRESETS = ("fast", "tuned")
CHOSEN = ("model", "phrases", "training")  # the sections of the settings that a preset decides
FAST_BY_LINEAR = 4.0  # the ratio of their seconds, which both grow with the rows and words
TUNED_BY_FAST = 3.0  # the ratio of their seconds; up to 6 with many long texts, when tuned may be stopped
SEARCH = (
    "model.units=16..96 model.word_dropout=0..0.3 model.dense_dropout=0..0.5 training.learning_rate=0.002..0.02 "
    "training.min_steps=180..720"
)
MAX_TRIALS = 30  # more fit the validation texts
AFTERWARDS = 0.15  # share of the time for the steps after the choice
FINAL_SHARE = 0.04  # for validation in the last training, as in fast and tuned: more texts to learn from
OVERRUN = 0.1  # share of the time by which a stage that takes longer than predicted may exceed it


def choose_settings(settings: RunSettings, minutes: float, downloaded: Artifact) -> tuple[RunSettings, dict[str, Any]]:
    """Return the settings of the best network that was found within so many minutes, and a record for metrics.json."""
    auto = Auto(settings, minutes, downloaded)
    auto.run("linear", lambda _: linear_flow(auto.networks["fast"], downloaded))
    predicted = None if settings.candidates == "network" else FAST_BY_LINEAR * auto.tried[-1]["seconds"]
    if auto.run("fast", partial(train_stage, auto, "fast"), predicted=predicted):
        predicted = TUNED_BY_FAST * auto.seconds_of(auto.tried[-1])
        auto.run("tuned", partial(train_stage, auto, "tuned"), predicted=predicted)
    auto.plan_refit()
    if (leader := auto.best(network=True))["stage"] != "linear":
        auto.search_around(leader)
    # No network has scored a test text before it is chosen.
    return auto.final_settings(), {"minutes": minutes, "metric": auto.metric, "tried": auto.tried}


class Auto:
    """The stages that were tried, and the time that is left.

    Attributes:
        tried: a dictionary for each stage, as in metrics.json.
        networks: the settings of the network of each stage; the linear model's is only there for comparison.
        final: the stage whose network the run has.
        reserved: seconds to train that stage's model again, with fewer texts for validation; None if it is not.
    """

    def __init__(self, settings: RunSettings, minutes: float, downloaded: Artifact) -> None:
        """Start the clock."""
        self.started, self.seconds, self.downloaded = time.monotonic(), 60 * minutes, downloaded
        self.networks = preset_settings(settings)
        self.networks["linear"] = smallest_network(self.networks["fast"])
        self.metric = self.networks["fast"].evaluation.metric or "accuracy"
        self.tried: list[dict[str, Any]] = []
        self.final = "linear"
        self.reserved: float | None = None

    def left(self, overrun: float = 0.0) -> float:
        """Return the seconds until the refit or the steps after the choice have to begin, at least one."""
        budget = self.seconds * (1 + overrun - AFTERWARDS) - (self.reserved or 0)
        return max(1.0, self.started + budget - time.monotonic())

    def best(self, *, network: bool = False) -> dict[str, Any]:
        """Return the best stage, or the best that trained a network, if any did; the earliest of equal ones."""
        finished = [its for its in self.tried if its["value"] is not None]
        trained = [its for its in finished if its["stage"] != "linear"]
        return min((network and trained) or finished, key=lambda its: as_cost(self.metric, its["value"]))

    def reason_to_skip(self, predicted: float) -> str | None:
        """Return why a stage of so many predicted seconds is not run, or None."""
        if self.best()["value"] == 1 and self.metric != "log_loss":
            return "skipped: nothing can be better"
        return f"skipped: {predicted:.0f} s needed, {self.left():.0f} s left" if predicted > self.left() else None

    def run(self, stage: str, cost_within: Callable[[float | None], float], *, predicted: float | None = None) -> bool:
        """Run a stage if the time allows it, log its result and the best so far, and return whether it finished.

        `cost_within` runs it within so many seconds (None: however long it takes), and returns its cost. `predicted`
        is its seconds; None for one that runs in any case, to its end.
        """
        note = None if predicted is None else self.reason_to_skip(predicted)
        limit = None if predicted is None else self.left(OVERRUN)
        begun, value = time.monotonic(), None
        try:
            value = as_cost(self.metric, cost_within(limit)) if note is None else None
        except (TimeoutError, PipelineError) as error:
            if limit is None:
                raise
            note = "stopped: the time is over" if isinstance(error, TimeoutError) else f"failed: {error}"
        seconds = round(time.monotonic() - begun, 1)
        self.tried.append({"stage": stage, "seconds": seconds, "value": value, "note": note})
        result, best = note or f"validation {self.metric} {value:.4f} in {seconds:.0f} s", self.best()
        lead = f"best so far: {best['stage']}, {best['value']:.4f}; {self.left():.0f} s left"
        run_logger().info("auto: %s: %s; %s", stage, result, lead)
        return value is not None

    def seconds_of(self, tried: dict[str, Any]) -> float:
        """Return the seconds that a stage's network takes to train, even if it was cached."""
        with planning():
            trained = train_trial(self.networks[tried["stage"]], self.downloaded)
        return float(max(tried["seconds"], sum(trained.meta.get("seconds", []))))

    def search_around(self, leader: dict[str, Any]) -> None:
        """Search with Optuna from the settings of the leading network, one trial after another, while time allows."""
        base = self.networks[leader["stage"]].model_dump() | {"cells": None, "search": SEARCH}
        trials: list[dict[str, Any]] = []

        def search_within(seconds: float | None) -> float:
            asked = CompareSettings.model_validate(base | {"trials": len(trials) + 1})
            trials[:] = search_flow.with_options(timeout_seconds=seconds)(asked, self.downloaded)
            best = best_trial(trials)
            if best is None:
                raise TrainingError("no trial finished")
            self.networks["search"] = found_member("search", asked, best["point"]).runs[0]
            return float(best["loss"])

        predicted = self.seconds_of(leader)
        while len(trials) < MAX_TRIALS and self.run("search", search_within, predicted=predicted):
            predicted = max(predicted, self.tried[-1]["seconds"])
            self.plan_refit()

    def plan_refit(self) -> None:
        """Choose the best network so far, and reserve the time to train it again, if that is left and helps.

        If it is enough only for a leading linear model, reserve its time, and choose the smallest network.
        """
        network = self.best(network=True)
        leader = network if self.networks["fast"].candidates == "network" else self.best()
        self.final, self.reserved = network["stage"], None
        for its in (network, leader) if self.refit_learns_more() else ():
            # Another share for validation encodes, and fits the linear model, again.
            seconds = self.seconds_of(its) + (self.tried[0]["seconds"] if its is not self.tried[0] else 0)
            if seconds <= self.left():
                self.final, self.reserved = its["stage"], seconds
                return

    def refit_learns_more(self) -> bool:
        """Return whether `FINAL_SHARE` for validation leaves more texts to train on than the run's share."""
        splits = self.downloaded.meta["dataset"].get("check", {}).get("splits", {})
        rows = splits.get("train", {}).get("rows", math.inf)
        is_taken = "validation" not in splits and rows > 10 * ENOUGH_ROWS  # of fewer, it would take a tenth
        return is_taken and self.networks["fast"].data.validation_split > FINAL_SHARE

    def final_settings(self) -> RunSettings:
        """Return the settings of the final network, with fewer texts for validation if its model is trained again."""
        final = self.networks[self.final]
        if self.final == "linear":
            run_logger().info("auto: the linear model is compared with a network of one unit")
        if self.reserved is None:
            return final
        note = f"{FINAL_SHARE:.0%} of the training texts are for validation, not {final.data.validation_split:.0%}"
        self.tried.append({"stage": "refit", "seconds": 0.0, "value": None, "note": note})
        run_logger().info("auto: %s is trained again: %s", self.final, note)
        return final.model_copy(update={"data": final.data.model_copy(update={"validation_split": FINAL_SHARE})})


search_flow = flow("imdb-pipeline-search")(search)


@flow("imdb-pipeline-linear")
def linear_flow(settings: RunSettings, downloaded: Artifact) -> float:
    """Fit the linear model, and return its cost on the validation texts."""
    encoded = encode(downloaded=downloaded, settings=settings.data)
    baselined = baseline(encoded=encoded, settings=settings.baseline, out_of_fold=settings.checks_labels)
    scores, metric = read_scores(open_store().path(baselined), "validation"), settings.evaluation.metric or "accuracy"
    return as_cost(metric, measure(metric, scores.labels, scores.verdicts(0.5), scores.probabilities))


def train_stage(auto: Auto, stage: str, seconds: float | None) -> float:
    """Train the network of a stage within so many seconds, and return the cost of the epoch that is kept."""
    network = auto.networks[stage]
    named = trial_flow.with_options(flow_run_name=stage, timeout_seconds=seconds)
    costs: list[float] = named(network, auto.downloaded)
    return min(costs) if network.training.keep_best else costs[-1]


def plan_stages(settings: RunSettings) -> list[StepPlan]:
    """Return when each stage runs."""
    limit = "if the time allows {:g} times that of {}"
    stages = {
        "linear": "always",
        "fast": "always" if settings.candidates == "network" else limit.format(FAST_BY_LINEAR, "linear"),
        "tuned": limit.format(TUNED_BY_FAST, "fast"),
        "search": f"up to {MAX_TRIALS} trials, while time is left",
        "refit": "if validation takes training texts, and the time allows it",
    }
    return [StepPlan(stage, "unknown", when) for stage, when in stages.items()]


def preset_settings(settings: RunSettings) -> dict[str, RunSettings]:
    """Return the settings of each preset on the texts of a run, prepared and validated as the run says."""
    shared = settings.model_dump(include=set(RunSettings.model_fields) - {*CHOSEN, "auto"})
    shared["evaluation"]["metric"] = settings.evaluation.metric or "accuracy"
    presets = {name: read_preset(name) for name in PRESETS}
    return {
        name: RunSettings.model_validate(shared | {section: preset.get(section, {}) for section in CHOSEN})
        for name, preset in presets.items()
    }


def check_auto(settings: RunSettings) -> None:
    """Refuse settings that the stages choose themselves."""
    chosen = settings.model_dump(include=set(CHOSEN), exclude_defaults=True)
    given = [f"{section}.{name}" for section, fields in chosen.items() for name in fields]
    if settings.auto.minutes and given:
        raise InputError(
            f"--preset auto chooses the network and its training, so {', '.join(given)} cannot be set; leave that out, "
            "or give another preset"
        )


def smallest_network(settings: RunSettings) -> RunSettings:
    """Return the settings of a network that trains in seconds, because every run compares the baseline with one."""
    model = ModelSettings(cell="gru", bidirectional=False, units=1, embedding_dim=1, dense_units=0)
    return settings.model_copy(update={"model": model, "training": TrainingSettings(epochs=1, batch_size=4096)})
