"""The run folder: settings, metrics, report and figures of a run in one place."""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.core.errors import RegistryError
from tasks.core.files import written_as_newest
from tasks.core.layout import CONFIG, FIGURES, FINDINGS, LABEL_EXAMPLES, LABEL_ISSUES, METRICS, REPORT, RUNS
from tasks.core.provenance import describe_machine, describe_versions
from tasks.core.run_settings import RunSettings
from tasks.evaluation.training_history import Training
from tasks.registry.client import registry
from tasks.registry.local_registry import folder_of, own_artifacts
from tasks.reporting.pages import read_figures, render
from tasks.reporting.prefect_ui import show_in_prefect
from tasks.store.artifact import PackagedArtifacts, RunArtifacts, describe_artifacts
from tasks.store.shared_store import open_store
from tasks.store.step import flow_run_id, run_logger, task
from tasks.store.step_log import steps_of
from tasks.store.store import Store


def derived_values(artifacts: RunArtifacts, settings: RunSettings) -> dict[str, Any]:
    """Return what the steps derived from the texts; docs/metrics.md describes the keys."""
    if "validation" in artifacts.encoded.meta:
        validation = "a split of their own"
    elif settings.data.whole_groups:
        validation = "whole groups" if settings.data.group_column else "stratified by label"
    else:
        validation = "the last training texts"
    return {
        "validation_texts": artifacts.padded.meta["validation"],
        "validation": validation,
        "folds": artifacts.learned.meta["folds"] if artifacts.learned else None,
        "epochs": artifacts.trained.meta["epochs"],
        "passes": artifacts.trained.meta["passes"],
        "inverse_penalty": artifacts.baselined.meta["inverse_penalty"],
    }


def gather_metrics(artifacts: PackagedArtifacts, settings: RunSettings, store: Store) -> dict[str, Any]:
    """Return the parts of metrics.json that the artifacts determine; docs/metrics.md describes them."""
    training, checked = Training.read(store.path(artifacts.trained)), artifacts.labels_checked
    seconds = artifacts.trained.meta["seconds"]
    return {
        "dataset": artifacts.downloaded.meta["dataset"] | artifacts.padded.meta,
        **json.loads(store.path(artifacts.evaluated, METRICS).read_text()),
        **({"label_issues": checked.meta} if checked else {}),
        "derived": derived_values(artifacts, settings),
        "model": artifacts.built.meta | training.model_dump(exclude={"history"}),
        "history": [epoch | {"seconds": second} for epoch, second in zip(training.history, seconds, strict=True)],
        "artifacts": describe_artifacts(artifacts),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }


def write_results(
    folder: Path, name: str, settings: RunSettings, metrics: dict[str, Any], artifacts: PackagedArtifacts
) -> None:
    """Write metrics.json, report.html and, if the labels were checked, label_issues.csv."""
    store, issues, drawn = open_store(), None, open_store().path(artifacts.drawn)
    if artifacts.labels_checked:
        issues = json.loads(store.path(artifacts.labels_checked, LABEL_EXAMPLES).read_text())
        shutil.copy(store.path(artifacts.labels_checked, LABEL_ISSUES), folder)
    page = render(
        "report.html.jinja",
        name=name,
        settings=settings.model_dump(mode="json"),
        metrics=metrics,
        findings=json.loads((drawn / FINDINGS).read_text()),
        figures=read_figures(drawn),
        issues=issues,
    )
    (folder / REPORT).write_text(page, encoding="utf-8")
    (folder / METRICS).write_text(json.dumps(metrics, indent=1))


def send_report(settings: RunSettings, tracking: dict[str, Any], folder: Path) -> None:
    """Log the report to the run in MLflow, unless it has one; warn if that fails, because the report is in the folder.

    A run may have none, because it was killed after it was logged. If another store logged the run, its report stays.
    """
    uri, run = tracking["uri"], tracking["run_id"]
    # A look at the store's own files spares a cached run the import of MLflow.
    is_there = uri is None and (folder_of(own_artifacts()) / run / "artifacts" / REPORT).exists()
    if is_there or not settings.tracking.texts:
        return
    try:
        with registry(uri) as client:
            if REPORT not in {file.path for file in client.list_artifacts(run)}:
                client.log_artifact(run, str(folder / REPORT))
    except RegistryError as error:
        run_logger().warning("%s; the report is not in MLflow, but in %s", error, folder)


@task("run_folder")
def run_folder(
    *,
    settings: RunSettings,
    artifacts: PackagedArtifacts,
    tracking: dict[str, Any] | None,
    promotion: dict[str, Any] | None,
    auto: dict[str, Any] | None = None,
) -> Path:
    """Write the run folder and return its path."""
    from prefect.runtime import flow_run

    store, name = open_store(), flow_run.name or "run"
    metrics = gather_metrics(artifacts, settings, store) | {"steps": steps_of(flow_run_id())}
    metrics |= {"tracking": tracking, "promotion": promotion} | ({"auto": auto} if auto else {})
    with written_as_newest(store.root / RUNS, name) as (draft, folder):
        shutil.copytree(store.path(artifacts.drawn), draft / FIGURES, ignore=shutil.ignore_patterns("*.json"))
        data = settings.data.model_copy(update={"refresh": False})  # a repetition reads what this run has read
        (draft / CONFIG).write_text(settings.model_copy(update={"data": data}).model_dump_json(indent=1))
        write_results(draft, name, settings, metrics, artifacts)
    store.share_folder(folder)
    show_in_prefect(name, folder, metrics)
    if tracking:
        send_report(settings, tracking, folder)
    return folder
