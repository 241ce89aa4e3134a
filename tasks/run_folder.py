"""The run folder: settings, metrics, report and figures of a run in one place."""

import json
import shutil
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.errors import RegistryUnreachable
from tasks.core.files import written_as_newest
from tasks.core.layout import CONFIG, FIGURES, FINDINGS, METRICS, MLFLOW, REPORT, RUNS
from tasks.core.machine import describe_machine, describe_versions
from tasks.core.settings import RunSettings
from tasks.evaluation.result_files import RunMetrics
from tasks.network.history import Training
from tasks.registry.client import registry
from tasks.reporting.pages import read_svg, render, show_in_prefect
from tasks.store.artifact import Artifact, PackagedArtifacts, RunArtifacts, describe_artifacts
from tasks.store.shared_store import open_store
from tasks.store.step_log import StepEntry, steps_of
from tasks.store.store import Store


def gather_metrics(
    artifacts: RunArtifacts,
    steps: list[StepEntry],
    store: Store,
    tracking: dict[str, Any] | None,
    promotion: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the content of metrics.json, checked against `RunMetrics`."""

    def read(artifact: Artifact, name: str) -> Any:
        return json.loads(store.path(artifact, name).read_text())

    training, judged = Training.read(store.path(artifacts.trained)), read(artifacts.evaluated, METRICS)
    seconds = artifacts.trained.meta["seconds"]
    metrics = {
        "dataset": artifacts.downloaded.meta["dataset"] | artifacts.padded.meta,
        "test": judged["test"],
        "validation": judged["validation"],
        "baseline": judged["baseline"],
        "model": artifacts.built.meta | training.model_dump(exclude={"history"}),
        "history": [epoch | {"seconds": second} for epoch, second in zip(training.history, seconds, strict=True)],
        "steps": steps,
        "artifacts": describe_artifacts(artifacts),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "tracking": tracking,
        "promotion": promotion,
    }
    return RunMetrics.model_validate(metrics).as_json()


def write_run_folder(
    runs: Path,
    name: str,
    settings: RunSettings,
    metrics: dict[str, Any],
    findings: dict[str, Any],
    drawn: Path,
    figures: list[str],
) -> Path:
    """Write runs/<UTC time>-<name>/, point runs/latest to it, and return it.

    Args:
        runs: the folder of run folders.
        name: the run's.
        settings: the run's.
        metrics: from `gather_metrics`.
        findings: findings.json of the step `figures`.
        drawn: the folder of the step `figures`.
        figures: names of the figures in it, in the order of the report.
    """
    with written_as_newest(runs, name) as (draft, final):
        (draft / FIGURES).mkdir()
        for figure in figures:
            shutil.copyfile(drawn / figure, draft / FIGURES / figure)
        (draft / CONFIG).write_text(settings.model_dump_json(indent=1))
        (draft / METRICS).write_text(json.dumps(metrics, indent=1))
        page = render(
            "report.html.jinja",
            name=name,
            settings=settings.model_dump(mode="json"),
            metrics=metrics,
            findings=findings,
            figures={figure: read_svg(drawn / figure) for figure in figures},
        )
        (draft / REPORT).write_text(page, encoding="utf-8")
    return final


def log_report(tracking: dict[str, Any], folder: Path, store: Path) -> None:
    """Log the report to the run in MLflow, unless it has one.

    A run may be killed after it was logged, so the store records which runs have their report. If another store logged
    the run, its report stays.
    """
    done = store / MLFLOW / "reported" / tracking["run_id"]
    if done.exists():
        return
    with registry(tracking["uri"]) as client:
        if REPORT not in {file.path for file in client.list_artifacts(tracking["run_id"])}:
            client.log_artifact(tracking["run_id"], str(folder / REPORT))
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()


@task(cache_policy=NO_CACHE, task_run_name="run_folder")
def run_folder(
    *,
    settings: RunSettings,
    artifacts: PackagedArtifacts,
    tracking: dict[str, Any] | None,
    promotion: dict[str, Any] | None,
) -> Path:
    """Write the run folder and return its path."""
    store, steps = open_store(), steps_of(str(flow_run.id))
    findings = json.loads(store.path(artifacts.drawn, FINDINGS).read_text())
    metrics = gather_metrics(artifacts, steps, store, tracking, promotion)
    runs, name, drawn = store.root / RUNS, flow_run.name or "run", store.path(artifacts.drawn)
    figures = artifacts.drawn.meta["figures"]
    folder = write_run_folder(runs, name, settings, metrics, findings, drawn, figures)
    store.share_folder(folder)
    show_in_prefect(name, folder, metrics, findings)
    if tracking and settings.tracking.texts:
        try:
            log_report(tracking, folder, store.root)
        except RegistryUnreachable as unreachable:
            get_run_logger().warning("%s; the report is not in MLflow, but in %s", unreachable, folder)
    return folder
