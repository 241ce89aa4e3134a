"""Compare: write the folder of a comparison, with its page, figures and numbers, and log it in MLflow."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.command_settings import CompareSettings
from tasks.core.files import digest, written_as_newest
from tasks.core.layout import COMPARISON, COMPARISON_PAGE, COMPARISONS, CONFIG, FIGURES, METRICS
from tasks.core.provenance import describe_machine, describe_versions
from tasks.core.run_settings import RunSettings, TrackingSettings
from tasks.evaluation.comparison_members import (
    Outcome,
    chosen_run,
    compare_pairs,
    cost_of,
    shared_settings,
    summarise_runs,
)
from tasks.evaluation.plots import draw_comparison, save_figure
from tasks.evaluation.predictions import decision_rule, read_scores
from tasks.evaluation.selection_metric import as_cost
from tasks.evaluation.training_history import Training
from tasks.registry.client import describe_run, experiment_id, flatten, metrics_of, registry
from tasks.reporting.pages import read_figures, render
from tasks.reporting.prefect_ui import show_comparison_in_prefect
from tasks.store.artifact import Artifact, RunArtifacts, describe_artifacts
from tasks.store.shared_store import open_store
from tasks.store.step import flow_run_id, run_logger, task
from tasks.store.step_log import TRACK, StepEntry, log_step
from tasks.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

SUMMARY = ("accuracy", "accuracy_spread", "validation_loss", "validation_spread", "seconds", "seconds_to_best")


def read_run(artifacts: RunArtifacts, steps: list[StepEntry], settings: RunSettings, store: Store) -> dict[str, Any]:
    """Return one run of a member as in comparison.json.

    "cost" ranks it: the metric on the validation texts, negated if more is better; the log loss by default.
    """
    training = Training.read(store.path(artifacts.trained))
    judged = json.loads(store.path(artifacts.evaluated, METRICS).read_text())
    seconds, metric = artifacts.trained.meta["seconds"], settings.evaluation.metric or "log_loss"
    return {
        "seed": settings.training.seed,
        "accuracy": judged["test"]["accuracy"],
        "validation_loss": judged["validation"]["log_loss"],
        "cost": as_cost(metric, judged["validation"][metric]),
        "parameters": artifacts.built.meta["parameters"],
        "best_epoch": training.best_epoch,
        "kept_epoch": training.kept_epoch,
        "history": [epoch | {"seconds": second} for epoch, second in zip(training.history, seconds, strict=True)],
        "steps": steps,
        "artifacts": describe_artifacts(artifacts),
    }


def describe_member(outcome: Outcome, settings: CompareSettings, store: Store) -> dict[str, Any]:
    """Return a member as in comparison.json; "failure" is null if all runs finished, else "summary" is."""
    own, shared = outcome.member.runs[0].model_dump(mode="json"), flatten(shared_settings(settings))
    runs = [read_run(*run, settings, store) for run, settings in zip(outcome.runs, outcome.member.runs, strict=False)]
    tested = outcome.runs[0].artifacts.padded.meta["test"] if outcome.runs else 0
    return {
        "name": outcome.member.name,
        "failure": outcome.failure,
        "summary": None if outcome.failure else summarise_runs(runs, tested),
        "settings": own,
        "differs": {name: value for name, value in flatten(own).items() if shared[name] != value},
        "runs": runs,
    }


def pair_up(
    finished: list[tuple[Outcome, dict[str, Any]]], names: list[str], settings: CompareSettings, store: Store
) -> list[dict[str, Any]]:
    """Return McNemar's test of each pair of members, each by its run with the lowest cost; `names` are the labels'."""
    rule, scores = decision_rule(settings.evaluation, names), {}
    for outcome, member in finished:
        scored = outcome.runs[chosen_run(member)].artifacts.scored
        scores[member["name"]] = read_scores(store.path(scored), "test")
    labels = next((its.labels for its in scores.values()), np.array([]))
    return compare_pairs(labels, {name: its.verdicts(rule) for name, its in scores.items()})


def gather_comparison(
    settings: CompareSettings, downloaded: Artifact, outcomes: list[Outcome], trials: list[dict[str, Any]], store: Store
) -> dict[str, Any]:
    """Return the content of comparison.json; docs/running.md describes it."""
    described = [(outcome, describe_member(outcome, settings, store)) for outcome in outcomes]
    ranked = sorted(described, key=lambda pair: cost_of(pair[1]))
    members, finished = [member for _, member in ranked], [pair for pair in ranked if pair[1]["summary"]]
    dataset, sizes = downloaded.meta["dataset"], finished[0][0].runs[0].artifacts.padded.meta if finished else {}
    return {
        "dataset": dataset | sizes,
        "chosen": members[0]["name"] if finished else None,
        "metric": settings.evaluation.metric,
        "members": members,
        "pairs": pair_up(finished, dataset["labels"], settings, store),
        "search": {"space": settings.search, "trials": trials} if trials else None,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }


def write_comparison(folder: Path, name: str, settings: CompareSettings, comparison: dict[str, Any]) -> None:
    """Write the page of a comparison, its figure, comparison.json and config.json."""
    (folder / FIGURES).mkdir()
    if finished := [member for member in comparison["members"] if member["summary"]]:
        figure = folder / FIGURES / "learning_curves.svg"
        save_figure(draw_comparison(finished), figure, "learning curves of all networks")
    (folder / CONFIG).write_text(settings.model_dump_json(indent=1))
    (folder / COMPARISON).write_text(json.dumps(comparison, indent=1))
    page = render(
        "comparison.html.jinja",
        name=name,
        settings=shared_settings(settings),
        seeds=settings.seeds,
        comparison=comparison,
        figures=read_figures(folder / FIGURES),
    )
    (folder / COMPARISON_PAGE).write_text(page, encoding="utf-8")


@task("compare")
def compare(
    settings: CompareSettings, downloaded: Artifact, outcomes: list[Outcome], trials: list[dict[str, Any]]
) -> Path:
    """Write the folder of a comparison and return its path."""
    from prefect.runtime import flow_run

    store = open_store()
    with log_step(flow_run_id(), "compare"):
        comparison = gather_comparison(settings, downloaded, outcomes, trials, store)
        name = flow_run.name or "comparison"
        with written_as_newest(store.root / COMPARISONS, name) as (draft, folder):
            write_comparison(draft, name, settings, comparison)
        store.share_folder(folder)
    show_comparison_in_prefect(comparison, folder)
    return folder


def identify_comparison(comparison: dict[str, Any]) -> str:
    """Return a hash of the members' settings and results, without times."""
    content = {}
    for member in comparison["members"]:
        made = [[artifact["sha256"] for artifact in run["artifacts"].values()] for run in member["runs"]]
        content[member["name"]] = [member["settings"], member["failure"], made]
    return digest(content)


def log_member(
    client: "MlflowClient", experiment: str, parent: str, member: dict[str, Any], tags: dict[str, str]
) -> None:
    """Log a member as a run below its comparison, with the epochs of its first seed; a failed one with its reason."""
    from mlflow.entities import Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    reason = {"failure": member["failure"]} if member["failure"] else {}
    own = tags | {MLFLOW_PARENT_RUN_ID: parent} | reason
    run = client.create_run(experiment, run_name=member["name"], tags=own).info.run_id
    params = [Param(name, value) for name, value in flatten(member["settings"]).items()]
    metrics: list[Metric] = []
    if summary := member["summary"]:
        low, high = summary["ci95"]
        numbers = {f"mean_{name}": summary[name] for name in SUMMARY}
        numbers |= {"parameters": summary["parameters"], "accuracy_ci95_low": low, "accuracy_ci95_high": high}
        metrics = metrics_of(member["runs"][0]["history"], numbers)
    client.log_batch(run, metrics, params)
    client.set_terminated(run, "FAILED" if member["failure"] else "FINISHED")


def log_whole(client: "MlflowClient", experiment: str, folder: Path, comparison: dict[str, Any], content: str) -> str:
    """Log a comparison with its members, page and numbers, and return the id of its run."""
    tags, chosen = describe_run(content), comparison["chosen"] or "none"
    members = comparison["members"]
    name = f"comparison of {len(members)} on {comparison['dataset']['name']}"
    parent = client.create_run(experiment, run_name=name, tags=tags | {"chosen": chosen}).info.run_id
    try:
        client.log_param(parent, "members", ", ".join(member["name"] for member in members))
        for member in members:
            log_member(client, experiment, parent, member, {key: tags[key] for key in tags if key != "content"})
        for file in (COMPARISON_PAGE, COMPARISON, CONFIG):
            client.log_artifact(parent, str(folder / file))
        client.log_artifacts(parent, str(folder / FIGURES), FIGURES)
    except BaseException:
        client.set_terminated(parent, "FAILED")
        raise
    client.set_terminated(parent)
    return str(parent)


def log_once(folder: Path, settings: TrackingSettings, uri: str | None) -> str:
    """Log the comparison in a folder, unless it is logged already, and return the id of its run.

    Raises:
        RegistryError: the server does not answer or refuses.
    """
    comparison = json.loads((folder / COMPARISON).read_text("utf-8"))
    content = identify_comparison(comparison)
    with registry(uri) as client, open_store().locked("mlflow/log"):
        experiment = experiment_id(client, uri, settings.experiment)
        query = f"tags.content = '{content}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], query, max_results=1)
        return found[0].info.run_id if found else log_whole(client, experiment, folder, comparison, content)


@task("log the comparison")
def track_comparison(folder: Path, settings: TrackingSettings, uri: str | None) -> None:
    """Log a comparison in MLflow, once; each of its members is a run below it."""
    with log_step(flow_run_id(), TRACK):
        run_logger().info("The comparison is MLflow run %s", log_once(folder, settings, uri))
