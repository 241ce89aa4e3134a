"""Log a comparison in MLflow once: a run for all of it, and below it a run for each member."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.environment import store_root
from tasks.core.files import digest
from tasks.core.layout import COMPARISON, COMPARISON_PAGE, CONFIG
from tasks.core.settings import TrackingSettings
from tasks.registry.client import describe_run, experiment_id, flatten, registry
from tasks.store.step_log import TRACK, log_step
from tasks.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

SUMMARY = ("accuracy", "accuracy_spread", "validation_loss", "validation_spread", "seconds", "seconds_to_best")


def identify_comparison(comparison: dict[str, Any]) -> str:
    """Return a hash of the members' settings and results, without times."""
    members = {
        member["name"]: {
            "settings": member["settings"],
            "failure": member["failure"],
            "made": [
                {step: artifact["sha256"] for step, artifact in run["artifacts"].items()} for run in member["runs"]
            ],
        }
        for member in comparison["members"]
    }
    return digest(members)


def metrics_of(member: dict[str, Any]) -> list["Metric"]:
    """Return a member's summary and the epochs of its first seed as metrics."""
    from mlflow.entities import Metric

    now, summary = int(time.time() * 1000), member["summary"]
    if summary is None:
        return []
    low, high = summary["ci95"]
    numbers = {f"mean_{name}": summary[name] for name in SUMMARY}
    numbers |= {"parameters": summary["parameters"], "accuracy_ci95_low": low, "accuracy_ci95_high": high}
    metrics = [Metric(name, value, now, 0) for name, value in numbers.items() if value is not None]
    return metrics + [
        Metric(name, value, now, epoch["epoch"])
        for epoch in member["runs"][0]["history"]
        for name, value in epoch.items()
        if name != "epoch"
    ]


def log_member(
    client: "MlflowClient", experiment: str, parent: str, member: dict[str, Any], tags: dict[str, str]
) -> None:
    """Log a member as a run below its comparison; a failed one as failed, with its reason."""
    from mlflow.entities import Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    reason = {"failure": member["failure"]} if member["failure"] else {}
    own = tags | {MLFLOW_PARENT_RUN_ID: parent} | reason
    run = client.create_run(experiment, run_name=member["name"], tags=own).info.run_id
    params = [Param(name, value) for name, value in flatten(member["settings"]).items()]
    client.log_batch(run, metrics=metrics_of(member), params=params)
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
        client.log_artifacts(parent, str(folder / "figures"), "figures")
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
    with registry(uri) as client, Store(store_root()).locked("mlflow/log"):
        experiment = experiment_id(client, uri, settings.experiment)
        query = f"tags.content = '{content}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], query, max_results=1)
        return found[0].info.run_id if found else log_whole(client, experiment, folder, comparison, content)


@task(cache_policy=NO_CACHE, task_run_name="log the comparison")
def track_comparison(folder: Path, settings: TrackingSettings, uri: str | None) -> None:
    """Log a comparison in MLflow, once; each of its members is a run below it."""
    with log_step(str(flow_run.id), TRACK):
        get_run_logger().info("The comparison is MLflow run %s", log_once(folder, settings, uri))
