"""Track: log a run's settings, metrics and model in MLflow once, and register its model once."""

import functools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.files import digest
from tasks.core.layout import METRICS
from tasks.core.run_settings import RunSettings
from tasks.evaluation.metrics import NUMBERS
from tasks.evaluation.predictions import decision_rule, read_scores
from tasks.evaluation.training_history import Training
from tasks.registry.client import describe_run, experiment_id, flatten, metrics_of, registry, store_id, suppress_code
from tasks.registry.contest import HELD_OUT, write_held_out
from tasks.registry.loading import has_files
from tasks.registry.local_registry import own_registry
from tasks.registry.mlflow_model import write_registered
from tasks.registry.registry_lock import registry_lock
from tasks.registry.versions import CONTENT, EVALUATION, SHA256, SOURCE, Models, default_name, other_source, versions_of
from tasks.store.artifact import PackagedArtifacts, RunArtifacts
from tasks.store.shared_store import open_store
from tasks.store.step import flow_run_id, run_logger, task
from tasks.store.step_log import TRACK, log_step
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import Identities, identify_texts

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.tracking import MlflowClient

CLASSIFIER, FIGURES = "classifier", "figures"
OTHER_SOURCE = """The champion of %s was trained on %s, not on %s.
  If these are other texts, register their model under another name: --tracking.registered-model NAME"""
DIGEST_LETTERS = 32  # MLflow keeps at most 36 letters of a dataset's hash


def identify_run(settings: RunSettings, artifacts: RunArtifacts) -> str:
    """Return a hash of a run's settings and results."""
    content = {step: artifact.sha256 for step, artifact in artifacts.by_step().items()}
    return digest({"settings": settings.model_dump(mode="json"), "made": content})


def describe_version(settings: RunSettings, dataset: Dataset, content: str, reviews: Identities) -> dict[str, str]:
    """Return the tags of a version: its content, and the facts that a comparison with another version needs."""
    rule = decision_rule(settings.evaluation, dataset.labels)
    return {
        CONTENT: content,
        "dataset": dataset.name,
        SOURCE: dataset.source,
        SHA256: dataset.sha256,
        "labels": json.dumps(dataset.labels),
        "threshold": str(rule if isinstance(rule, float) else settings.evaluation.threshold),
        "cost": json.dumps(settings.evaluation.cost),
        "trial": str(reviews.left_out > 0).lower(),
    }


def log_run(
    client: "MlflowClient",
    experiment: str,
    folders: dict[str, Path],
    settings: RunSettings,
    reviews: Identities,
    tags: dict[str, str],
    model_tags: dict[str, str],
) -> "Run":
    """Log parameters, dataset, metrics, model, scores and figures, and return the finished run."""
    from mlflow.entities import Dataset as LoggedDataset
    from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Param
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    dataset, params = Dataset.read(folders["download"]), flatten(settings.model_dump(mode="json"))
    short = dataset.sha256[:DIGEST_LETTERS]
    source = json.dumps({"sha256": dataset.sha256})
    logged = DatasetInput(
        LoggedDataset(dataset.name, short, "sha256", source), [InputTag(MLFLOW_DATASET_CONTEXT, "train and test")]
    )
    evaluated = json.loads((folders["evaluate"] / METRICS).read_text())
    kind = "linear" if evaluated["candidates"]["chosen"] == "linear" else settings.model.cell
    run = client.create_run(experiment, run_name=f"{dataset.name} {kind}", tags=tags)
    name = run.info.run_id
    try:
        client.log_batch(name, params=[Param(key, value) for key, value in params.items()])
        client.log_inputs(name, [logged])
        model = client.create_logged_model(experiment, CLASSIFIER, name, model_tags, params, kind)
        client.log_outputs(name, [LoggedModelOutput(model.model_id, 0)])
        belonging = {"model_id": model.model_id, "dataset_name": dataset.name, "dataset_digest": short}
        parts = ("test", "validation", "baseline")
        numbers = {f"{part}_{key}": evaluated[part][key] for part in parts for key in NUMBERS}
        client.log_batch(name, metrics_of(Training.read(folders["train"]).history, numbers, **belonging))
        log_files(client, name, model, folders, reviews)
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        mark_failed(client, name, "FAILED")
        raise
    client.set_terminated(name)
    return client.get_run(name)


def mark_failed(client: "MlflowClient", run: str, status: str) -> None:
    """Mark a run that was not logged completely, and its model."""
    for model_id in models_of(client.get_run(run)):
        client.finalize_logged_model(model_id, "FAILED")
    client.set_terminated(run, status)


def log_files(
    client: "MlflowClient", run: str, model: "LoggedModel", folders: dict[str, Path], reviews: Identities
) -> None:
    """Log the model's files, its scores of the test texts, and the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_registered(folders["package"], folder / CLASSIFIER)
        client.log_model_artifacts(model.model_id, str(folder / CLASSIFIER))
        write_held_out(folder, read_scores(folders["evaluate"], "test"), reviews)
        for path in (*(folder / name for name in HELD_OUT), folders["evaluate"] / METRICS):
            client.log_artifact(run, str(path), EVALUATION)
    for figure in sorted(folders["figures"].glob("*.svg")):
        client.log_artifact(run, str(figure), FIGURES)


def find_logged(client: "MlflowClient", uri: str | None, experiment: str, content: str, packaged: str) -> "Run | None":
    """Return the finished run that has the given content and its model's files, whose hash is `packaged`, or None."""
    query = f"tags.content = '{content}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment], query)
    return next((run for run in runs if any(is_kept(client, uri, its, packaged) for its in models_of(run))), None)


def models_of(run: "Run") -> list[str]:
    """Return the ids of a run's logged models."""
    return [output.model_id for output in run.outputs.model_outputs] if run.outputs else []


def is_kept(client: "MlflowClient", uri: str | None, model_id: str, packaged: str) -> bool:
    """Return whether a logged model exists, with its files."""
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        return has_files(client.get_logged_model(model_id).artifact_location, packaged, uri)
    return False


def mark_killed(client: "MlflowClient") -> None:
    """Mark runs whose process was killed while it logged them; call it under the lock `mlflow/log`."""
    query = f"tags.store_id = '{store_id()}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([its.experiment_id for its in client.search_experiments()], query):
        mark_failed(client, run.info.run_id, "KILLED")


def register(client: "MlflowClient", uri: str | None, run: "Run", model: str, tags: dict[str, str]) -> int:
    """Register the run's model, unless another store has registered its content meanwhile; return the version."""
    with suppress_code("RESOURCE_ALREADY_EXISTS"):
        client.create_registered_model(model)
    with registry_lock(client, uri, model):
        if known := find_registered(client, uri, model, tags[CONTENT]):
            return known
        logged = client.get_logged_model(models_of(run)[0])
        source, run_id = logged.artifact_location, run.info.run_id
        version = client.create_model_version(
            model, source, run_id, tags=tags, await_creation_for=0, model_id=logged.model_id
        )
        return int(version.version)


def find_registered(client: Models, uri: str | None, model: str, packaged: str) -> int | None:
    """Return the first version whose files have the hash `packaged` and are still there, or None."""
    versions = versions_of(client, model, packaged)
    return next((int(its.version) for its in versions if has_files(its.source, packaged, uri)), None)


def find_tracked(experiment: str, content: str, model: str, packaged: str) -> dict[str, Any] | None:
    """Return the ids of experiment and run, and the version, if the store's own registry has them; without MLflow."""
    with own_registry() as own:
        run, version = own.find_run(experiment, content), find_registered(own, None, model, packaged)
    return {"experiment_id": run[0], "run_id": run[1], "version": version} if run and version else None


def track_run(uri: str | None, artifacts: PackagedArtifacts, settings: RunSettings) -> tuple[dict[str, Any], bool]:
    """Log the run and register its model, unless that is done.

    Returns:
        What metrics.json holds of it ("uri", "experiment_id", "run_id", "model", "version", "content"), and whether
        anything of it is new.

    Raises:
        RegistryError: the server does not answer or refuses.
    """
    store, content = open_store(), identify_run(settings, artifacts)
    folders = {step: store.path(artifact) for step, artifact in artifacts.by_step().items()}
    dataset = Dataset.read(folders["download"])
    model = settings.tracking.registered_model or default_name(dataset.name)
    packaged = artifacts.packaged.sha256
    place, asked = {"uri": uri, "model": model, "content": content}, settings.tracking.experiment
    if uri is None and (tracked := find_tracked(asked, content, model, packaged)):
        return place | tracked, False
    identify = functools.cache(lambda: identify_texts(folders["download"], settings.data))
    if uri is None:
        identify()  # before MLflow is imported: both at the same time would need more memory than training
    with registry(uri) as client, store.locked("mlflow/log"):
        experiment = experiment_id(client, uri, asked)
        mark_killed(client)
        run = find_logged(client, uri, experiment, content, packaged)
        version = find_registered(client, uri, model, packaged)
        if is_new := run is None or version is None:
            reviews = identify()
            tags = describe_version(settings, dataset, packaged, reviews)
            short = {name: value for name, value in tags.items() if name not in ("labels", "cost")}  # of any length
            before = other_source(client, model, dataset.source, dataset.sha256)
            if before and not settings.tracking.registered_model:
                run_logger().warning(OTHER_SOURCE, model, before, dataset.source)
            run_tags = describe_run(content) | short
            run = run or log_run(client, experiment, folders, settings, reviews, run_tags, tags)
            version = version or register(client, uri, run, model, tags)
    tracked = {"experiment_id": experiment, "run_id": run.info.run_id, "version": version}
    return place | tracked, is_new


@task("track")
def track(*, settings: RunSettings, artifacts: PackagedArtifacts, uri: str | None) -> dict[str, Any]:
    """Log the run in MLflow and register its model, unless both are there already."""
    with log_step(flow_run_id(), TRACK) as step:
        tracking, is_new = track_run(uri, artifacts, settings)
        step["cached"] = not is_new
    run_logger().info("Version %(version)s of %(model)s, MLflow run %(run_id)s", tracking)
    return tracking
