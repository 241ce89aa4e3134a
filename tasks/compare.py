"""Compare: write the folder of a comparison, with its page, figures and numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.errors import DataError
from tasks.core.files import written_as_newest
from tasks.core.flow_settings import CompareSettings
from tasks.core.layout import COMPARISON, COMPARISON_PAGE, COMPARISONS, CONFIG, FIGURES, METRICS
from tasks.core.machine import describe_machine, describe_versions
from tasks.core.settings import RunSettings
from tasks.evaluation.comparison import (
    MemberRun,
    Outcome,
    chosen_run,
    compare_pairs,
    cost_of,
    shared_settings,
    summarise_runs,
)
from tasks.evaluation.plots import save_figure
from tasks.evaluation.result_files import Training
from tasks.evaluation.scores import decision_rule, read_scores
from tasks.evaluation.selection_metric import as_cost
from tasks.registry.client import flatten
from tasks.reporting import comparisons
from tasks.reporting.pages import read_figures, render
from tasks.store.artifact import Artifact, describe_artifacts
from tasks.store.shared_store import open_store
from tasks.store.step_log import log_step
from tasks.store.store import Store


def read_run(run: MemberRun, settings: RunSettings, store: Store) -> dict[str, Any]:
    """Return one run of a member as in comparison.json.

    "cost" ranks it: the metric on the validation texts, negated if more is better; the log loss by default.
    """
    training = Training.read(store.path(run.artifacts.trained))
    judged = json.loads(store.path(run.artifacts.evaluated, METRICS).read_text())
    seconds, metric = run.artifacts.trained.meta["seconds"], settings.evaluation.metric or "log_loss"
    return {
        "seed": settings.training.seed,
        "accuracy": judged["test"]["accuracy"],
        "validation_loss": judged["validation"]["log_loss"],
        "cost": as_cost(metric, judged["validation"][metric]),
        "parameters": run.artifacts.built.meta["parameters"],
        "best_epoch": training.best_epoch,
        "kept_epoch": training.kept_epoch,
        "history": [epoch | {"seconds": second} for epoch, second in zip(training.history, seconds, strict=True)],
        "steps": run.steps,
        "artifacts": describe_artifacts(run.artifacts),
    }


def describe_member(outcome: Outcome, settings: CompareSettings, store: Store) -> dict[str, Any]:
    """Return a member as in comparison.json; "failure" is null if all runs finished, else "summary" is."""
    own, shared = outcome.member.runs[0].model_dump(mode="json"), flatten(shared_settings(settings))
    runs = [read_run(run, settings, store) for run, settings in zip(outcome.runs, outcome.member.runs, strict=False)]
    tested = outcome.runs[0].artifacts.padded.meta["test"] if outcome.runs else 0
    return {
        "name": outcome.member.name,
        "failure": outcome.failure,
        "summary": None if outcome.failure else summarise_runs(runs, tested),
        "settings": own,
        "differs": {name: value for name, value in flatten(own).items() if shared[name] != value},
        "runs": runs,
    }


def pair_up(finished: list[Outcome], ranked: list[dict[str, Any]], store: Store) -> list[dict[str, Any]]:
    """Return McNemar's test of each pair of members, each represented by its run with the lowest cost.

    Raises:
        DataError: two members were not tested on the same reviews.
    """
    by_name, labels, verdicts = {outcome.member.name: outcome for outcome in finished}, None, {}
    for member in ranked:
        outcome, chosen = by_name[member["name"]], chosen_run(member)
        scores = read_scores(store.path(outcome.runs[chosen].artifacts.scored), "test")
        if labels is not None and not np.array_equal(labels, scores.labels):
            raise DataError(
                f"{member['name']} was tested on other reviews than {ranked[0]['name']}; compare them apart"
            )
        labels = scores.labels
        names = outcome.runs[chosen].artifacts.downloaded.meta["dataset"]["labels"]
        rule = decision_rule(outcome.member.runs[chosen].evaluation, names)
        verdicts[member["name"]] = scores.verdicts(rule)
    return [] if labels is None else compare_pairs(labels, verdicts)


def gather_comparison(
    settings: CompareSettings,
    downloaded: Artifact,
    outcomes: list[Outcome],
    trials: list[dict[str, Any]],
    store: Store,
) -> dict[str, Any]:
    """Return the content of comparison.json; docs/running.md describes it."""
    members = sorted((describe_member(outcome, settings, store) for outcome in outcomes), key=cost_of)
    finished = [outcome for outcome in outcomes if not outcome.failure]
    sizes = finished[0].runs[0].artifacts.padded.meta if finished else {}
    return {
        "dataset": downloaded.meta["dataset"] | sizes,
        "chosen": members[0]["name"] if finished else None,
        "metric": settings.evaluation.metric,
        "members": members,
        "pairs": pair_up(finished, [member for member in members if member["summary"]], store),
        "search": {"space": settings.search, "trials": trials} if trials else None,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }


def write_comparison(place: Path, name: str, settings: CompareSettings, comparison: dict[str, Any]) -> Path:
    """Write comparisons/<UTC time>-<name>/, point comparisons/latest to it, and return it."""
    with written_as_newest(place, name) as (draft, final):
        figures = draft / FIGURES
        figures.mkdir()
        if finished := [member for member in comparison["members"] if member["summary"]]:
            drawn = comparisons.draw_curves(finished)
            save_figure(drawn, figures / "learning_curves.svg", "learning curves of all networks")
        (draft / CONFIG).write_text(settings.model_dump_json(indent=1))
        (draft / COMPARISON).write_text(json.dumps(comparison, indent=1))
        page = render(
            "comparison.html.jinja",
            name=name,
            settings=shared_settings(settings),
            seeds=settings.seeds,
            comparison=comparison,
            columns=list(comparisons.COLUMNS),
            alpha=comparisons.ALPHA,
            rows=[comparisons.describe_row(member) for member in comparison["members"]],
            choice=comparisons.describe_choice(comparison),
            sight=comparisons.describe_sight(comparison),
            figures=read_figures(figures),
        )
        (draft / COMPARISON_PAGE).write_text(page, encoding="utf-8")
    return final


@task(cache_policy=NO_CACHE, task_run_name="compare")
def compare(
    settings: CompareSettings, downloaded: Artifact, outcomes: list[Outcome], trials: list[dict[str, Any]]
) -> Path:
    """Write the folder of a comparison and return its path."""
    store = open_store()
    with log_step(str(flow_run.id), "compare"):
        comparison = gather_comparison(settings, downloaded, outcomes, trials, store)
        folder = write_comparison(store.root / COMPARISONS, flow_run.name or "comparison", settings, comparison)
        store.share_folder(folder)
    comparisons.show_in_prefect(comparison, folder)
    return folder
