"""Track: a run's settings, metrics and model in MLflow, logged once."""

import importlib.metadata
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import get_run_logger, task

from tasks.core.caching import BY_CONTENT, keep
from tasks.core.environment import store_root
from tasks.core.sealed import digest
from tasks.core.settings import RunSettings
from tasks.core.store import Artifact, Store
from tasks.judging.metrics import METRICS, NUMBERS
from tasks.judging.registry import CLASSIFIER, EVALUATION, experiment_id, registry
from tasks.judging.scores import scores_file
from tasks.network.models import MODEL, load_model, start_tensorflow
from tasks.network.packaged import FACTS
from tasks.network.trained import read_training
from tasks.reviews.encoded import ENCODING, VOCABULARY

# MLflow is imported inside the functions that need it: a cached run never pays for it.
if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

TRACKING = "tracking.json"


def identify_test_set(downloaded: Artifact, settings: RunSettings) -> str:
    """Return a hash that two runs share only if they test on the same reviews in the same order."""
    chosen = settings.data.model_dump(include={"shuffle_seed", "max_reviews"})
    return digest({"reviews": downloaded.sha256} | chosen)


def write_classifier(packaged: Path, folder: Path) -> None:
    """Write all that scoring raw text needs: the model in MLflow's Keras flavour, the vocabulary, rules and facts.

    Args:
        packaged: the folder of the packaged classifier.
        folder: where to write; it must not exist.
    """
    start_tensorflow()
    import mlflow.keras
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    model = load_model(packaged / MODEL)
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in ("tensorflow", "keras")]
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.int32), (-1, -1), "tokens")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1), "probability")]),
    )
    mlflow.keras.save_model(model, str(folder), signature=signature, pip_requirements=requirements)
    for name in (VOCABULARY, ENCODING, FACTS):
        shutil.copyfile(packaged / name, folder / name)


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `section.setting`: text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


def log_run(
    client: "MlflowClient",
    experiment: str,
    made: dict[str, Path],
    settings: RunSettings,
    tags: dict[str, str],
) -> "Run":
    """Log parameters, the metrics of every epoch and of both judged splits, the figures and the model.

    Args:
        client: of the registry.
        experiment: its id.
        made: the folder of each step.
        settings: the run's.
        tags: of the run; dataset and test_set among them.

    Returns:
        MLflow's run, finished.
    """
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    judged = json.loads((made["judge"] / METRICS).read_text())
    metrics = [
        Metric(name, value, now, int(epoch["epoch"]))
        for epoch in read_training(made["train"]).history
        for name, value in epoch.items()
        if name != "epoch"
    ]
    metrics += [Metric(f"{part}_{name}", its[name], now, 0) for part, its in judged.items() for name in NUMBERS]
    params = [Param(name, value) for name, value in flatten(settings.model_dump(mode="json")).items()]
    run = client.create_run(experiment, run_name=f"{tags['dataset']} {settings.model.cell}")
    name = run.info.run_id
    try:
        client.log_batch(name, metrics, params, [RunTag(key, value) for key, value in tags.items()])
        with tempfile.TemporaryDirectory() as scratch:
            write_classifier(made["package"], Path(scratch) / CLASSIFIER)
            client.log_artifacts(name, str(Path(scratch) / CLASSIFIER), CLASSIFIER)
        for path in (scores_file(made["evaluate"], "test"), made["judge"] / METRICS):
            client.log_artifact(name, str(path), EVALUATION)
        for figure in sorted(made["report"].glob("*.svg")):
            client.log_artifact(name, str(figure), "figures")
    except BaseException:
        client.set_terminated(name, "FAILED")
        raise
    client.set_terminated(name)
    return run


def find_logged(client: "MlflowClient", experiment: str, content: str) -> "Run | None":
    """Return the finished run with the given content, or None: what is logged already is not logged again."""
    query = f"tags.content = '{content}' and attributes.status = 'FINISHED'"
    found = client.search_runs([experiment], query, max_results=1)
    return found[0] if found else None


def register(client: "MlflowClient", run: "Run", model: str, tags: dict[str, str]) -> str:
    """Return the version under which the run's model is registered, registering it where it is not yet."""
    from mlflow.exceptions import MlflowException

    versions = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    for version in versions:
        if version.name == model:
            return str(version.version)
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{run.info.artifact_uri}/{CLASSIFIER}"
    made = client.create_model_version(model, source, run.info.run_id, tags=tags, await_creation_for=0)
    return str(made.version)


def track_run(uri: str | None, made: list[Artifact], settings: RunSettings, folder: Path) -> dict[str, Any]:
    """Log the run and register its model, unless that is done, and write tracking.json.

    Returns:
        What tracking.json holds: uri, run_id, experiment_id, model, version.

    Raises:
        RegistryUnreachable: nobody answers at `uri`.
        RegistryError: the request was refused.
    """
    store, by_step = Store(store_root()), {artifact.step: artifact for artifact in made}
    dataset = by_step["download"].meta["dataset"]
    tags = {
        "content": digest(
            {"settings": settings.model_dump(mode="json"), "made": {step: its.sha256 for step, its in by_step.items()}}
        ),
        "dataset": dataset["name"],
        "dataset_sha256": dataset["sha256"],
        "test_set": identify_test_set(by_step["download"], settings),
        "trial": str(settings.data.max_reviews is not None).lower(),
        "threshold": str(settings.evaluation.threshold),
    }
    model = settings.tracking.registered_model or f"{dataset['name']}-classifier"
    with registry(uri) as client:
        experiment = experiment_id(client, uri, settings.tracking.experiment)
        run = find_logged(client, experiment, tags["content"])
        if run is None:
            paths = {step: store.path(artifact) for step, artifact in by_step.items()}
            run = log_run(client, experiment, paths, settings, tags)
        version = register(client, run, model, {name: tags[name] for name in tags if name != "content"})
    tracking = {
        "uri": uri,
        "experiment_id": experiment,
        "run_id": run.info.run_id,
        "model": model,
        "version": int(version),
    }
    (folder / TRACKING).write_text(json.dumps(tracking, indent=1))
    return tracking


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="track")
def track(settings: RunSettings, made: list[Artifact], uri: str | None) -> Artifact:
    """Log the run in MLflow and register its model; a run that is logged already is not logged again."""
    tracked = keep(lambda folder: track_run(uri, made, settings, folder))
    get_run_logger().info("Version %(version)s of %(model)s, MLflow run %(run_id)s", tracked.meta)
    return tracked
