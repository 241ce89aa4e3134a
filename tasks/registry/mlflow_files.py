"""A registered classifier: how a packaged one lies in MLflow, and how it comes back from there, checked."""

import importlib.metadata
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.core.errors import RegistryError
from tasks.core.files import hash_file
from tasks.network.bundle import FACTS, read_facts
from tasks.network.keras_files import MODEL
from tasks.network.scoring import NETWORK
from tasks.network.verdicts import added_names
from tasks.registry.client import address_of
from tasks.registry.mlflow_model import COLUMN
from tasks.registry.mlflow_sqlite import OwnVersion
from tasks.registry.versions import CONTENT, has_our_tags
from tasks.store.artifact import digest
from tasks.texts.encoded import ENCODING, VOCABULARY

# TensorFlow and MLflow are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger("prefect.registry")
# What loads a registered version, and what that needs; MLflow takes tables of pandas.
LOADER = "tasks.registry.mlflow_model"
REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas", "pyarrow", "pydantic", "typing_extensions")
EXAMPLE = ["a wonderful film, one of the best", "Dull; I left."]
# Where the files of a packaged classifier lie in MLflow: the network's place is that of MLflow's Keras flavour.
PLACES = {MODEL: f"data/{MODEL}", NETWORK: NETWORK, VOCABULARY: VOCABULARY, ENCODING: ENCODING, FACTS: FACTS}


def write_registered(packaged: Path, folder: Path) -> None:
    """Write a packaged classifier as a model that MLflow's own commands load: texts in, verdicts out.

    They need what requirements.txt names and not this project, whose modules stand beside it. To `mlflow.keras` it is
    the network alone, which takes TensorFlow.

    Args:
        packaged: the folder of the packaged classifier.
        folder: where to write; it must not exist.
    """
    import mlflow.pyfunc
    import pandas
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    named = added_names(read_facts(packaged).labels)
    outputs: list[ColSpec | TensorSpec] = [ColSpec("string", named[0]), *(ColSpec("float", name) for name in named[1:])]
    model = Model()
    keras_version = importlib.metadata.version("keras")
    model.add_flavor("keras", data="data", keras_version=keras_version, keras_backend="tensorflow")
    with tempfile.TemporaryDirectory() as scratch:
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            code_paths=[str(write_modules(Path(scratch)))],
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
            # Without a name: with one, MLflow takes no list of texts.
            signature=ModelSignature(Schema([ColSpec("string")]), Schema(outputs)),
            input_example=pandas.DataFrame({COLUMN: EXAMPLE}),
            mlflow_model=model,
        )
    for name, place in PLACES.items():
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(packaged / name, folder / place)


def write_modules(folder: Path) -> Path:
    """Copy the modules that score a text into `folder`, and return the package that they make."""
    # Prefect, by which steps are cached, is imported here: who only reads a registered version does without.
    from tasks.store.caching import project_modules

    package, _, _rest = LOADER.partition(".")
    for name, path in project_modules(LOADER).items():
        place = folder.joinpath(*name.split(".")).with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.name != "__init__.py":
            shutil.copyfile(path, place)
    for inner in [folder / package, *(path for path in (folder / package).rglob("*") if path.is_dir())]:
        (inner / "__init__.py").touch()
    return folder / package


def content_of(folder: Path) -> str:
    """Return the hash of a registered classifier's content: that of the artifact which it was packaged as.

    Those of before there was an ONNX network beside it have none.

    Raises:
        FileNotFoundError: a file is missing.
    """
    places = {name: place for name, place in PLACES.items() if name != NETWORK or (folder / place).exists()}
    return digest({name: hash_file(folder / place) for name, place in places.items()})


def whole_folder(version: OwnVersion) -> Path | None:
    """Return where a version's files lie, if they are those that were registered, an ONNX network among them."""
    address = urlsplit(version.source)
    folder = Path(url2pathname(address.path))
    if address.scheme != "file" or not (folder / PLACES[NETWORK]).exists():
        return None
    try:
        return folder if content_of(folder) == version.tags.get(CONTENT) else None
    except OSError:
        return None


def fetch_registered(version: "ModelVersion", uri: str | None, scratch: Path) -> Path:
    """Fetch a version's files into `scratch`, and return the folder that holds them.

    Those of a version that was registered before there was a tag for their hash are taken as they are, with a warning.

    Raises:
        RegistryError: a file is missing, or they are not those that were registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    name = f"{version.name} version {version.version}"
    if not has_our_tags(version):
        raise RegistryError(f"{name}: has no hash (tag {CONTENT}), so it is not one that this project has registered")
    try:
        folder = Path(download_artifacts(version.source, dst_path=str(scratch), tracking_uri=address_of(uri)))
        found = content_of(folder)
    except (MlflowException, OSError) as error:
        raise RegistryError(f"{name}: its files cannot be had from {version.source} ({error})") from error
    if CONTENT not in version.tags:
        logger.warning("%s: was registered without the hash of its files, which are taken as they are", name)
    elif found != version.tags[CONTENT]:
        raise RegistryError(
            f"{name}: its files at {version.source} are not those that were registered (sha256 {found}, expected "
            f"{version.tags[CONTENT]}); nothing of them was opened. Roll back to another version with "
            "python flows/promote_flow.py --version N"
        )
    return folder
