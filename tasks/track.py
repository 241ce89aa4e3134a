"""Track: a run's settings, metrics and model in MLflow, logged once, and its model registered once."""

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.layout import METRICS
from tasks.core.settings import RunSettings
from tasks.evaluation.metrics import NUMBERS
from tasks.evaluation.scores import HeldOutScores, read_scores, write_held_out
from tasks.network.history import read_training
from tasks.registry.client import experiment_id, registry, suppress_existing
from tasks.registry.mlflow_files import write_registered
from tasks.registry.mlflow_lock import registry_lock
from tasks.registry.remembered import recall
from tasks.registry.run_tags import describe_run, flatten, store_id
from tasks.registry.versions import CONTENT, EVALUATION, version_of
from tasks.store.artifact import Artifact, digest
from tasks.store.step_log import noting
from tasks.store.store import open_store
from tasks.texts.dataset import Dataset, read_dataset
from tasks.texts.identity import identify_texts

# MLflow is imported inside the functions that need it: a run that finds itself remembered never pays for it.
if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric, Run
    from mlflow.tracking import MlflowClient

CLASSIFIER, FIGURES = "classifier", "figures"
DIGEST_LETTERS = 32  # MLflow takes at most 36 of a dataset's hash


def identify_run(settings: RunSettings, made: list[Artifact]) -> str:
    """Return a hash of all that a run was asked for and has made."""
    content = {artifact.step: artifact.sha256 for artifact in made}
    return digest({"settings": settings.model_dump(mode="json"), "made": content})


def describe_version(settings: RunSettings, dataset: Dataset, packaged: Artifact) -> dict[str, str]:
    """Return the tags of a version: its content, and what those who compare it with another must know."""
    return {
        CONTENT: packaged.sha256,
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "labels": json.dumps(dataset.labels),
        "threshold": str(settings.evaluation.threshold),
        "trial": str(settings.data.max_reviews is not None).lower(),
    }


def gather_metrics(made: dict[str, Path], **belonging: str) -> list["Metric"]:
    """Return the metrics of every epoch and of all that was judged.

    Args:
        made: the folder of each step.
        belonging: the model and the dataset that they are of, as MLflow's Metric takes them.
    """
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    judged = json.loads((made["evaluate"] / METRICS).read_text())
    metrics = [
        Metric(name, value, now, int(epoch["epoch"]), **belonging)
        for epoch in read_training(made["train"]).history
        for name, value in epoch.items()
        if name != "epoch"
    ]
    return metrics + [
        Metric(f"{part}_{name}", numbers[name], now, 0, **belonging)
        for part, numbers in judged.items()
        for name in NUMBERS
    ]


def log_run(
    client: "MlflowClient",
    experiment: str,
    made: dict[str, Path],
    settings: RunSettings,
    tags: dict[str, str],
    model_tags: dict[str, str],
) -> "Run":
    """Log parameters, dataset, metrics, model, verdicts and figures.

    Args:
        client: of the registry.
        experiment: its id.
        made: the folder of each step.
        settings: the run's.
        tags: of the run.
        model_tags: of its model.

    Returns:
        MLflow's run, finished.
    """
    from mlflow.entities import Dataset as LoggedDataset
    from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Param
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    dataset, params = read_dataset(made["download"]), flatten(settings.model_dump(mode="json"))
    short = dataset.sha256[:DIGEST_LETTERS]
    source = json.dumps({"sha256": dataset.sha256})
    logged = DatasetInput(
        LoggedDataset(dataset.name, short, "sha256", source), [InputTag(MLFLOW_DATASET_CONTEXT, "train and test")]
    )
    run = client.create_run(experiment, run_name=f"{dataset.name} {settings.model.cell}", tags=tags)
    name = run.info.run_id
    try:
        client.log_batch(name, params=[Param(key, value) for key, value in params.items()])
        client.log_inputs(name, [logged])
        model = client.create_logged_model(experiment, CLASSIFIER, name, model_tags, params, settings.model.cell)
        client.log_outputs(name, [LoggedModelOutput(model.model_id, 0)])
        belonging = {"model_id": model.model_id, "dataset_name": dataset.name, "dataset_digest": short}
        client.log_batch(name, gather_metrics(made, **belonging))
        log_files(client, name, model, made, settings)
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        mark_failed(client, name, "FAILED")
        raise
    client.set_terminated(name)
    return client.get_run(name)


def mark_failed(client: "MlflowClient", run: str, status: str) -> None:
    """Mark a run that was not logged whole, and its model."""
    for model_id in models_of(client.get_run(run)):
        client.finalize_logged_model(model_id, "FAILED")
    client.set_terminated(run, status)


def log_files(
    client: "MlflowClient", run: str, model: "LoggedModel", made: dict[str, Path], settings: RunSettings
) -> None:
    """Log the model's files, the verdicts on the test reviews, and the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_registered(made["package"], folder / CLASSIFIER)
        client.log_model_artifacts(model.model_id, str(folder / CLASSIFIER))
        reviews = identify_texts(made["download"], settings.data.shuffle_seed, settings.data.max_reviews)
        tested = write_held_out(folder, HeldOutScores(read_scores(made["score"], "test"), reviews))
        for path in (*tested, made["evaluate"] / METRICS):
            client.log_artifact(run, str(path), EVALUATION)
    for figure in sorted(made["figures"].glob("*.svg")):
        client.log_artifact(run, str(figure), FIGURES)


def find_logged(client: "MlflowClient", uri: str | None, experiment: str, content: str) -> "Run | None":
    """Return the finished run with the given content, its model still there, or None: it is to be logged."""
    query = f"tags.content = '{content}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment], query)
    return next((run for run in runs if any(has_files(client, uri, model) for model in models_of(run))), None)


def models_of(run: "Run") -> list[str]:
    """Return the ids of the models that a run has logged."""
    return [output.model_id for output in run.outputs.model_outputs] if run.outputs else []


def has_files(client: "MlflowClient", uri: str | None, model_id: str) -> bool:
    """Tell whether a logged model is there, and in the store's own registry its files too."""
    from mlflow.exceptions import MlflowException

    try:
        location = client.get_logged_model(model_id).artifact_location
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return uri is not None or Path(url2pathname(urlsplit(location).path)).is_dir()


def mark_killed(client: "MlflowClient", experiment: str) -> None:
    """Mark the runs whose process was killed while it logged them; call it under the lock of who logs."""
    query = f"tags.store_id = '{store_id()}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment], query):
        mark_failed(client, run.info.run_id, "KILLED")


def register(client: "MlflowClient", uri: str | None, run: "Run", model: str, tags: dict[str, str]) -> tuple[int, bool]:
    """Return the version of the run's model, and whether it is new: no version has had its content yet."""
    found = version_of(client, model, tags[CONTENT])
    if found is not None:
        return int(found.version), False
    with suppress_existing():
        client.create_registered_model(model)
    with registry_lock(client, uri, model):
        found = version_of(client, model, tags[CONTENT])  # which another store may have registered meanwhile
        if found is not None:
            return int(found.version), False
        logged = client.get_logged_model(models_of(run)[0])
        source, run_id = logged.artifact_location, run.info.run_id
        made = client.create_model_version(
            model, source, run_id, tags=tags, await_creation_for=0, model_id=logged.model_id
        )
        return int(made.version), True


def track_run(
    uri: str | None, made: list[Artifact], settings: RunSettings, content: str
) -> tuple[dict[str, Any], bool]:
    """Log the run and register its model, unless that is done.

    Args:
        uri: of the registry.
        made: what the run has made.
        settings: the run's.
        content: as `identify_run` returns it.

    Returns:
        What metrics.json holds of it ("uri", "experiment_id", "run_id", "model", "version", "content"), and whether
        anything of it is new.

    Raises:
        RegistryUnreachable: nobody answers at `uri`.
        RegistryError: the request was refused.
    """
    store, by_step = open_store(), {artifact.step: artifact for artifact in made}
    paths = {step: store.path(artifact) for step, artifact in by_step.items()}
    dataset = read_dataset(paths["download"])
    tags = describe_version(settings, dataset, by_step["package"])
    model = settings.tracking.registered_model or f"{dataset.name}-classifier"
    with registry(uri) as client, store.locked("mlflow/log"):
        experiment = experiment_id(client, uri, settings.tracking.experiment)
        mark_killed(client, experiment)
        found = find_logged(client, uri, experiment, content)
        run = found or log_run(client, experiment, paths, settings, describe_run(content) | tags, tags)
        version, is_new = register(client, uri, run, model, tags)
    tracking = {
        "uri": uri,
        "experiment_id": experiment,
        "run_id": run.info.run_id,
        "model": model,
        "version": version,
        "content": content,
    }
    return tracking, is_new or found is None


@task(cache_policy=NO_CACHE, task_run_name="track")
def track(settings: RunSettings, made: list[Artifact], uri: str | None) -> dict[str, Any]:
    """Log the run in MLflow and register its model; what is there already is found, each time."""
    with noting(str(flow_run.id), "track") as step:
        content = identify_run(settings, made)
        known = recall(content) if uri is None else None
        tracking, is_new = (known["tracking"], False) if known else track_run(uri, made, settings, content)
        step["cached"] = not is_new
    get_run_logger().info("Version %(version)s of %(model)s, MLflow run %(run_id)s", tracking)
    return tracking
