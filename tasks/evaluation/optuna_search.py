"""Search: a space of settings from the command line, and the study of trials that Optuna proposes."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import DataError, InputError, ModelError, TrainingError, describe
from tasks.core.files import explain_os_errors
from tasks.core.run_settings import Metric, RunSettings
from tasks.core.user_paths import sqlite_address
from tasks.evaluation.selection_metric import as_cost

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution


FAILURE = "failure"  # the attribute with the reason of a failure
UNPRUNED = 4  # the first trials, which are never stopped early
# Errors that a trial's own settings cause every time, unlike a full disk, too little memory or a lost server.
LASTING = (DataError, InputError, ModelError, TrainingError, ValueError, ArithmeticError)

# Called with a trial's name and settings; trains it in steps, and yields the validation losses of each step's epochs.
Losses = Callable[[str, Mapping[str, str]], Iterator[list[float]]]
OWN_SECTIONS = ("data", "model", "phrases", "training")  # in which members may differ
# These settings select and order the texts: all members are tested on the same ones.
SHARED = {
    *SourceSettings.model_fields,
    *("on_unreachable", "tokenisation", "shuffle_seed", "max_reviews"),
    *("max_words", "max_odd_lengths", "max_unknown"),
}
# Validation texts choose among trials, so these are the same for all of them, too.
VALIDATED_ON = {"validation_split", "whole_groups"}
# Settings with a flag of their own; keep_best decides which epoch of a trial counts.
FLAGS = {"model.seed": "--seeds", "training.seed": "--seeds", "training.keep_best": "--training.keep_best"}
LOG_FROM = 10  # a range whose ends differ by this factor is searched on a logarithmic scale


def read_search(space: str) -> "dict[str, BaseDistribution]":
    """Return Optuna's distribution of each setting in a search, such as "model.units=16..128 model.cell=gru,lstm".

    Raise InputError if it is malformed, or names a setting that is unknown or that trials must share.
    """
    found: dict[str, BaseDistribution] = {}
    for part in space.split():
        typed, equals, values = part.partition("=")
        setting = typed.replace("-", "_")
        section, _, field = setting.partition(".")
        if not equals or not all(values.split(",")) or setting in found:
            raise InputError(f"--search: {part}: expected one SECTION.SETTING=VALUE,VALUE or =LOW..HIGH a setting")
        if setting in FLAGS:
            raise InputError(f"--search: {setting} is what {FLAGS[setting]} says; leave it out")
        known = RunSettings.model_fields[section].annotation if section in OWN_SECTIONS else None
        if field not in getattr(known, "model_fields", {}):
            raise InputError(f"--search: {setting}: no such setting in {', '.join(OWN_SECTIONS)}")
        if known is DataSettings and field in SHARED | VALIDATED_ON:
            raise InputError(f"--search: {setting} changes the texts, and networks are compared on the same ones")
        found[setting] = read_distribution(setting, values)
    if not found:
        raise InputError("--search: expected at least one setting, as model.units=16..128")
    return found


def read_distribution(setting: str, values: str) -> "BaseDistribution":
    """Return the distribution that `low..high`, of integers if both ends are, or a list of values stands for.

    Raises:
        InputError: the ends are not numbers, or not in order.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    first, dots, last = values.partition("..")
    if not dots:
        return CategoricalDistribution(values.split(","))
    try:
        low, high = float(first), float(last)
    except ValueError:
        low, high = 1, 0
    if not low < high < math.inf:
        raise InputError(f"--search: {setting}={values}: expected two numbers, the lower one first, as 16..128")
    log = low > 0 and high >= LOG_FROM * low
    if (first + last).replace("-", "").isdigit():
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def open_study(file: Path, seed: int) -> "Study":
    """Open or create the study in an SQLite file of its own; raise StoreError if its folder cannot be created.

    The trials that a killed search had begun are queued: call it under a lock, because running trials count as those of
    a killed process. A resumed search continues with other proposals of `seed`.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with explain_os_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(storage=sqlite_address(file), study_name=file.stem, load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), n_startup_trials=UNPRUNED)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def run_trials(
    study: "Study",
    space: "dict[str, BaseDistribution]",
    count: int,
    losses_of: Losses,
    *,
    keep_best: bool,
    metric: Metric | None = None,
    say: Callable[[str], None],
) -> None:
    """Run trials until the study has had `count`, those of earlier searches included.

    A trial whose lowest loss so far is above the median of what the others had after the same epoch is stopped. One
    that fails because of its settings is noted with its reason, and the others go on; another error is raised, and the
    trial is run again the next time.

    Args:
        space: where to search, from `read_search`.
        losses_of: trains a trial, one epoch per iteration, or all of them in the only one: then it is not stopped.
        keep_best: whether the lowest loss counts, not the last.
        metric: whose cost the losses are; None if they are validation losses.
        say: called with the result of each trial.
    """
    from optuna.trial import TrialState

    while len(finished_trials(study)) < count:
        trial = study.ask(space)
        seen: list[float] = []
        name, outcome = f"trial {trial.number}", "stopped early, others were better"
        try:
            for losses in losses_of(name, point_of(trial.params)):
                for loss in losses:
                    seen.append(loss)
                    trial.report(loss, len(seen))
                if len(losses) == 1 and trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED)
                    break
            else:
                value = min(seen) if keep_best else seen[-1]
                study.tell(trial, value)
                outcome = f"validation {metric or 'loss'} {as_cost(metric, value):.4f}"
        except LASTING as error:
            trial.set_user_attr(FAILURE, describe(error))
            study.tell(trial, state=TrialState.FAIL)
            say(f"{name} failed: {describe(error)}")
        else:
            say(f"{name} ({', '.join(f'{key}={value}' for key, value in trial.params.items())}): {outcome}")


def finished_trials(study: "Study") -> list[dict[str, Any]]:
    """Return the finished trials in their order: "number", "state", "point", "losses", "loss", "failure".

    The state is complete, pruned or fail; the loss is null unless it is complete. Trials of a killed search are not
    included: they are run again.
    """
    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "point": point_of(trial.params),
            "losses": [loss for _epoch, loss in sorted(trial.intermediate_values.items())],
            "loss": trial.value if trial.state.name == "COMPLETE" else None,
            "failure": trial.user_attrs.get(FAILURE),
        }
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in ("COMPLETE", "PRUNED") or FAILURE in trial.user_attrs
    ]


def best_trial(trials: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the trial with the lowest validation loss, the earliest of equal ones, or None if none is complete."""
    complete = [trial for trial in trials if trial["loss"] is not None]
    return min(complete, key=lambda trial: float(trial["loss"]), default=None)


def point_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return a trial's parameters as text."""
    return {setting: str(value) for setting, value in params.items()}
