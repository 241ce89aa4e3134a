"""Loading: the classifier that a person means, from the registry, a run folder or the store."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import ModelError
from tasks.core.files import explain_os_errors
from tasks.core.layout import METRICS
from tasks.core.paths import user_path
from tasks.network.bundle import Classifier, KerasClassifier, open_keras, open_onnx
from tasks.network.keras_files import MODEL
from tasks.network.scoring import NETWORK
from tasks.registry.client import registry
from tasks.registry.mlflow_files import PLACES, fetch_registered, whole_folder
from tasks.registry.mlflow_sqlite import read_version
from tasks.registry.versions import CHAMPION, model_or_default, numbered_version, version_under
from tasks.store.artifact import DamagedError
from tasks.store.in_use import take
from tasks.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient


def load_registered(uri: str | None, model: str | None, version: int | None, scratch: Path) -> KerasClassifier:
    """Return a registered version of `model`, or its champion.

    Args:
        uri: of the registry.
        model: its name there; None takes the one that has a champion.
        version: None takes the champion.
        scratch: an empty folder, for what is fetched.

    Raises:
        ModelError: there is no champion, or there are several models that have one.
        RegistryError: there is no such version.
    """
    with registry(uri) as client:
        model = model_or_default(client, model)
        found = champion_of(client, model) if version is None else numbered_version(client, model, version)
        return load_version(found, uri, scratch)


def champion_of(client: "MlflowClient", model: str) -> "ModelVersion":
    """Return the champion of `model`.

    Raises:
        ModelError: it has none yet.
    """
    found = version_under(client, model, CHAMPION)
    if found is None:
        raise ModelError(
            f"{model} has no champion yet: train one with python flows/imdb_flow.py, promote a version with "
            "python flows/promote_flow.py --version N, or name a model with --model"
        )
    return found


def pin_champion(registered_model: str | None, uri: str | None) -> tuple[str, str]:
    """Return the champion's model and its version's number, for scores that must all be of one version.

    Args:
        registered_model: the name in the registry; None takes the one that has a champion.
        uri: of the registry.

    Raises:
        ModelError: there is no champion, or there are several models that have one.
    """
    if not uri and (own := read_version(registered_model, None)):
        return own.name, str(own.version)
    with registry(uri) as client:
        found = champion_of(client, model_or_default(client, registered_model))
    return found.name, str(found.version)


def load_version(version: "ModelVersion", uri: str | None, scratch: Path) -> KerasClassifier:
    """Return the classifier of a version in the registry, once its files are those that were registered.

    Raises:
        ModelError: the vocabulary is not known.
        RegistryError: its files are gone, or are others.
    """
    folder = fetch_registered(version, uri, scratch)
    name = f"{version.name} version {version.version}"
    return open_keras(name, folder, folder / PLACES[MODEL], registered_model=version.name)


def packaged_by(folder: Path, store: Path) -> Path:
    """Return the packaged classifier of a run folder, verified: the artifact that its metrics.json names.

    Raises:
        ModelError: it is no run folder, or its model has been pruned, or is not as it was made.
    """
    try:
        packaged = json.loads((folder / METRICS).read_bytes())["artifacts"]["package"]
        key, sha256 = packaged["key"], packaged["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: is no run folder with metrics.json ({error!r})") from error
    try:
        found = take(Store(store), key)
    except DamagedError as damage:
        raise ModelError(f"{folder}: {damage}; run the same again to make its model anew") from damage
    if found is None:
        raise ModelError(f"{folder}: its model is no longer in the store; run the same again to make it")
    if found.sha256 != sha256:
        raise ModelError(f"{store / key}: is another model than that of {folder}; run the same again to serve the new")
    if folder.parent == (store / "runs").resolve():
        with explain_os_errors(folder):
            os.utime(folder / METRICS)  # pruning goes by it
    return store / str(key)


def run_folder(model: str, store: Path) -> Path:
    """Return the run folder that a person means by its path, or by a model.keras in the store.

    Raises:
        ModelError: no run has made that file.
    """
    path = user_path(model).resolve()
    return run_that_made(path, store) if path.suffix == ".keras" else path


def load_light(model: str | None, registered_model: str | None, uri: str | None, store: Path) -> Classifier | None:
    """Return the classifier that `model` names, without TensorFlow or MLflow; or None where it takes these to find it.

    The store's own registry can be read so, and what has been packaged with an ONNX network. Whatever is wrong with a
    registered model is left to `load_keras`, which says so.

    Args:
        model: as `load_classifier` takes it.
        registered_model: the name in the registry; None takes the one that has a champion.
        uri: of the registry.
        store: the store's root.

    Raises:
        ModelError: there is no such run folder, or its model is not as it was made.
    """
    if model is None or model.isdecimal():
        version = None if uri else read_version(registered_model, int(model) if model else None)
        folder = version and whole_folder(version)
        if not version or not folder:
            return None
        return open_onnx(f"{version.name} version {version.version}", folder, version.name)
    run = run_folder(model, store)
    packaged = packaged_by(run, store)
    return open_onnx(f"run {run.name}", packaged) if (packaged / NETWORK).exists() else None


def load_classifier(
    model: str | None, registered_model: str | None, uri: str | None, store: Path, scratch: Path
) -> Classifier:
    """Return the classifier that `model` names: in ONNX Runtime, which is the faster, else in TensorFlow.

    Args:
        model: None for the champion, a version's number, a run folder, or a model.keras in the store.
        registered_model: the name in the registry; None takes the one that has a champion.
        uri: of the registry.
        store: the store's root.
        scratch: an empty folder, for what is fetched.

    Raises:
        ModelError: there is no such model.
        RegistryError: there is no such version.
    """
    light = load_light(model, registered_model, uri, store)
    return light or load_keras(model, registered_model, uri, store, scratch)


def load_keras(
    model: str | None, registered_model: str | None, uri: str | None, store: Path, scratch: Path
) -> KerasClassifier:
    """Return the classifier that `model` names with its network as Keras's: `load_classifier` says of what."""
    if model is None or model.isdecimal():
        return load_registered(uri, registered_model, int(model) if model else None, scratch)
    run = run_folder(model, store)
    return open_keras(f"run {run.name}", packaged_by(run, store))


def run_that_made(network: Path, store: Path) -> Path:
    """Return the newest run folder whose model is the given .keras file of the store."""
    key = f"train/{network.parent.name}"
    for metrics in sorted((store / "runs").glob("[!.]*/metrics.json"), reverse=True):
        if json.loads(metrics.read_bytes()).get("artifacts", {}).get("train", {}).get("key") == key:
            return metrics.parent
    raise ModelError(f"{network}: no run under {store / 'runs'} has made it, so its vocabulary is not known")
