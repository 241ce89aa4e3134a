"""Loading a model: find the version that is meant, fetch its files, open them for scoring."""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tasks.core.errors import ModelError, RegistryError
from tasks.core.files import explain_os_errors
from tasks.core.layout import CONFIG, METRICS
from tasks.core.user_paths import user_path
from tasks.network.bundle import Classifier, open_onnx
from tasks.registry.client import address_of, first_line, registry
from tasks.registry.local_registry import folder_of, own_registry
from tasks.registry.mlflow_model import PLACES, content_of
from tasks.registry.versions import CONTENT, Models, model_or_default, version_or_champion
from tasks.store.artifact import DamagedError
from tasks.store.inventory import take
from tasks.store.shared_store import open_store

Opened = TypeVar("Opened", bound=Classifier)
AS_BEFORE = (
    "Repeat the training that made it, which registers them again, or promote another version with "
    "python flows/promote_flow.py --version N"
)


@dataclass(frozen=True)
class FoundVersion:
    """The model that a person means: version `number` of `registered_model`, or the model of the run folder `run`.

    Attributes:
        name: for people.
        source: the address of its files; of a run folder's model, its key in the store.
        content: the hash of its files.
    """

    name: str
    source: str
    content: str
    registered_model: str | None = None
    number: int | None = None
    run: Path | None = None


def reader(uri: str | None) -> AbstractContextManager[Models]:
    """Open a client for reading: of the store's own registry without MLflow."""
    return registry(uri) if uri else own_registry()


def load_classifier(model: str | None, registered_model: str | None, uri: str | None) -> Classifier:
    """Find, fetch and open a model with ONNX Runtime; the arguments are those of `find_version`."""
    return load_version(find_version(model, registered_model, uri), uri, open_onnx)


def find_version(model: str | None, registered_model: str | None, uri: str | None) -> FoundVersion:
    """Return which model is meant. The store's own registry is read without MLflow.

    Args:
        model: None for the champion, a version's number, or a run folder.
        registered_model: its name in the registry; None takes the one that has a champion.
        uri: of the registry; None for the store's own.

    Raises:
        ModelError: there is no such run folder, no champion, or several models have one.
        RegistryError: there is no such version, or this project has not registered it.
    """
    if model is not None and not model.isdecimal():
        return find_run(user_path(model).resolve())
    with reader(uri) as client:
        name = model_or_default(client, registered_model)
        return described(version_or_champion(client, name, int(model) if model else None))


def find_run(folder: Path) -> FoundVersion:
    """Return the model of a run folder."""
    try:
        packaged = json.loads((folder / METRICS).read_bytes())["artifacts"]["package"]
        return FoundVersion(f"run {folder.name}", packaged["key"], packaged["sha256"], run=folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: is not a run folder with metrics.json ({error!r})") from error


def described(version: Any) -> FoundVersion:
    """Return where a version's files are, and their hash; raise RegistryError if this project did not register it."""
    label = f"{version.name} version {version.version}"
    if CONTENT not in version.tags:
        raise RegistryError(f"{label}: has no hash (tag {CONTENT}), so this project has not registered it")
    return FoundVersion(label, version.source, version.tags[CONTENT], version.name, int(version.version))


def has_files(source: str, content: str, uri: str | None) -> bool:
    """Return whether the files of a version or logged model are where the registry says.

    Their hash is checked in a registry of this machine; a server is asked for their names only. A server may also name
    a folder that this machine does not see, which counts as there.

    Raises:
        RegistryError: the server refuses to list them.
    """
    is_folder = urlsplit(source).scheme in ("", "file")
    if uri is None or (is_folder and uri.startswith("sqlite:")):
        try:
            return content == content_of(folder_of(source))
        except OSError:
            return False
    if is_folder:
        return True
    from mlflow.artifacts import list_artifacts

    places = [Path(place) for place in PLACES.values()]
    folders = {f"{source.rstrip('/')}/{place.parent}".removesuffix("/.") for place in places}
    with registry(uri):
        listed = [file for folder in folders for file in list_artifacts(artifact_uri=folder, tracking_uri=uri)]
    return {place.name for place in places} <= {Path(file.path).name for file in listed}


def load_version(
    found: FoundVersion, uri: str | None, open_bundle: Callable[[str, Path, str | None], Opened]
) -> Opened:
    """Fetch a model's files and open them with `open_onnx` or `open_keras`."""
    with tempfile.TemporaryDirectory() as scratch:
        return open_bundle(found.name, fetch_bundle(found, uri, Path(scratch)), found.registered_model)


def fetch_bundle(found: FoundVersion, uri: str | None, scratch: Path) -> Path:
    """Return a folder on this machine with the model's files, verified against their recorded hash.

    Files on other machines are downloaded to `scratch`, an empty folder. Raise ModelError if the run's model has been
    pruned, damaged or replaced; RegistryError if the version's files are missing, or not those that were registered.
    """
    if found.run is not None:
        return take_packaged(found, found.run)
    try:
        is_local = urlsplit(found.source).scheme == "file"
        folder = folder_of(found.source) if is_local else download(found.source, uri, scratch)
        content = content_of(folder)
    except OSError as error:
        raise RegistryError(
            f"{found.name}: its files are not available at {found.source} ({first_line(error)}). {AS_BEFORE}"
        ) from error
    if content != found.content:
        raise RegistryError(
            f"{found.name}: its files are not those that were registered ({found.source}: sha256 {content}, expected "
            f"{found.content}); none was opened. {AS_BEFORE}"
        )
    return folder


def take_packaged(found: FoundVersion, run: Path) -> Path:
    """Return the packaged model of a run, verified, and mark both as used, unless the store is read-only."""
    store, remedy = open_store(), f"repeat the run to rebuild it (train --preset {run / CONFIG})"
    is_writable = os.access(store.root, os.W_OK)
    try:
        packaged = take(store, found.source) if is_writable else store.find(found.source)
    except DamagedError as damage:
        raise ModelError(f"{run}: {damage}; {remedy}") from damage
    if packaged is None:
        raise ModelError(f"{run}: {found.source} is no longer in the store; {remedy}")
    if packaged.sha256 != found.content:
        raise ModelError(f"{store.root / found.source}: is not the one of {run}; {remedy}")
    if is_writable and run.parent == (store.root / "runs").resolve():
        with explain_os_errors(run):
            os.utime(run / METRICS)  # pruning goes by it
    return store.root / found.source


def download(source: str, uri: str | None, scratch: Path) -> Path:
    """Download a version's files through MLflow; raise OSError if they are not available."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(source, dst_path=str(scratch), tracking_uri=address_of(uri)))
    except MlflowException as error:
        raise OSError(str(error)) from error
