"""The champion at work: found in the registry, loaded, and replaced while requests go on."""

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving.settings import ServeSettings
from tasks.core.error_messages import describe
from tasks.core.errors import ModelError, PipelineError
from tasks.core.layout import METRICS, REPORT
from tasks.network.bundle import Classifier, open_onnx
from tasks.network.scoring import NETWORK
from tasks.registry.client import registry
from tasks.registry.loading import packaged_by, run_folder
from tasks.registry.local_database import own_database
from tasks.registry.mlflow_files import PLACES, fetch_registered, whole_folder
from tasks.registry.mlflow_sqlite import OwnVersion, read_version
from tasks.registry.versions import CHAMPION, CONTENT, model_or_default, numbered_version, version_under

# The first text takes longer than those after it; nobody is to wait for that.
WARM_UP = pa.array(["a text of a few words"])
logger = logging.getLogger("serving")
RETRAIN = (
    "run the same training again, of which all comes from the cache but what makes it, and promote it, or serve a run "
    "folder with --model"
)


@dataclass(frozen=True)
class LoadedModel:
    """A model that serves.

    Attributes:
        classifier: scores.
        version: its number in the registry; None of a run folder.
        content: the hash of its files, by which another model is told from it.
        test: its accuracy on the test reviews and the interval, where its run folder is in the store.
        report: that run's page.
    """

    classifier: Classifier
    version: int | None
    content: str
    test: dict[str, Any] | None
    report: Path | None


def run_of(store: Path, model: str, version: int) -> Path | None:
    """Return the newest run folder in the store whose model is a registered version, or None."""
    for metrics in sorted((store / "runs").glob("[!.]*/metrics.json"), reverse=True):
        try:
            tracking = json.loads(metrics.read_bytes()).get("tracking") or {}
        except (OSError, ValueError, AttributeError):
            continue  # a damaged run folder is nobody's; `housekeeping verify` names it
        if tracking.get("model") == model and tracking.get("version") == version:
            return metrics.parent
    return None


def test_of(run: Path | None) -> tuple[dict[str, Any] | None, Path | None]:
    """Return what a run folder says of the test reviews, and its page; of none, None."""
    if run is None:
        return None, None
    test = json.loads((run / METRICS).read_bytes())["test"]
    report = run / REPORT
    return {name: test[name] for name in ("accuracy", "ci95")}, report if report.exists() else None


def look_up(settings: ServeSettings, uri: str | None) -> Any:
    """Return the version that is to serve, as the registry has it.

    Raises:
        PipelineError: there is none, or the registry cannot be read.
    """
    number = int(settings.model) if settings.model else None
    if uri is None:
        found = read_version(settings.registered_model, number)
        if found is None:
            wanted = f"version {number}" if number else "champion"
            raise ModelError(
                f"{own_database()}: {settings.registered_model or 'its model'} has no {wanted}; train one with "
                "python flows/imdb_flow.py, promote one with python flows/promote_flow.py, or serve a run folder with "
                "--model"
            )
        return found
    with registry(uri) as client:
        model = model_or_default(client, settings.registered_model)
        version = numbered_version(client, model, number) if number else version_under(client, model, CHAMPION)
    if version is None:
        raise ModelError(f"{model} has no champion yet: train one, or promote a version with flows/promote_flow.py")
    return version


def load_version(version: Any, uri: str | None, store: Path) -> LoadedModel:
    """Load a version of the registry, once its files are those that were registered.

    Raises:
        PipelineError: they are not, or have no ONNX network among them.
    """
    name = f"{version.name} version {version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(version, OwnVersion):
            folder = whole_folder(version)
        else:
            folder = fetch_registered(version, uri, Path(scratch))
        if folder is None or not (folder / PLACES[NETWORK]).exists():
            raise ModelError(
                f"{name}: its files are not those that were registered, or are from before there was an ONNX network "
                f"among them; {RETRAIN}"
            )
        classifier = open_onnx(name, folder, version.name)
    test, report = test_of(run_of(store, version.name, int(version.version)))
    return LoadedModel(classifier, int(version.version), version.tags[CONTENT], test, report)


def load_run(model: str, store: Path) -> LoadedModel:
    """Load the model of a run folder.

    Raises:
        ModelError: there is no such run, or its model is not as it was made, or has no ONNX network.
    """
    run = run_folder(model, store)
    packaged = packaged_by(run, store)
    if not (packaged / NETWORK).exists():
        raise ModelError(f"{run}: its model is from before there was an ONNX network beside it; run the same again")
    test, report = test_of(run)
    return LoadedModel(open_onnx(f"run {run.name}", packaged), None, packaged.name, test, report)


class Champion:
    """Who serves now, and who looks for another."""

    def __init__(self, settings: ServeSettings, uri: str | None, store: Path) -> None:
        """Load the model that is to serve.

        Raises:
            PipelineError: there is none, or it cannot be loaded.
        """
        self.settings, self.uri, self.store = settings, uri, store
        self.refused = ""
        is_run = settings.model is not None and not settings.model.isdecimal()
        self.is_fixed = settings.model is not None
        self.now = load_run(settings.model or "", store) if is_run else load_version(self.find(), uri, store)
        self.now.classifier.predict(WARM_UP)

    def find(self) -> Any:
        """Return the version that is to serve."""
        return look_up(self.settings, self.uri)

    def look(self) -> bool:
        """Take up another champion, where there is one; return whether there was.

        One that cannot be had is refused, and who serves goes on; the log says so once.
        """
        if self.is_fixed:
            return False
        try:
            found = self.find()
            serves = self.now.classifier.registered_model, self.now.version, self.now.content
            if serves == (found.name, int(found.version), found.tags.get(CONTENT)):
                return False
            loaded = load_version(found, self.uri, self.store)
            loaded.classifier.predict(WARM_UP)
        except Exception as error:  # whatever it is: the service is there for who calls it
            if str(error) != self.refused:
                self.refused, unforeseen = str(error), not isinstance(error, (PipelineError, OSError))
                logger.warning("%s goes on serving: %s", self.now.classifier.name, describe(error), exc_info=unforeseen)
            return False
        logger.info("%s serves in place of %s", loaded.classifier.name, self.now.classifier.name)
        self.now, self.refused = loaded, ""
        return True
