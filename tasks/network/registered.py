"""A registered classifier: how a packaged one lies in MLflow, and how it comes back from there, checked."""

import importlib.metadata
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.errors import RegistryError
from tasks.core.files import hash_file
from tasks.core.sealed import digest
from tasks.judging.registry import address_of
from tasks.judging.versions import CONTENT
from tasks.network.models import MODEL, load_model, start_tensorflow
from tasks.network.packaged import FACTS
from tasks.reviews.encoded import ENCODING, VOCABULARY

# TensorFlow and MLflow are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# Where the files of a packaged classifier lie in MLflow: the network's place is that of MLflow's Keras flavour.
NETWORK = f"data/{MODEL}"
PLACES = {MODEL: NETWORK, VOCABULARY: VOCABULARY, ENCODING: ENCODING, FACTS: FACTS}


def write_registered(packaged: Path, folder: Path) -> None:
    """Write all that scoring raw text needs: the network in MLflow's Keras flavour, and beside it the other files.

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
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, int(model.output_shape[-1])), "probability")]),
    )
    mlflow.keras.save_model(model, str(folder), signature=signature, pip_requirements=requirements)
    # The network's own file takes the place of MLflow's copy, which has the time in it: so its hash is known.
    for name, place in PLACES.items():
        shutil.copyfile(packaged / name, folder / place)


def content_of(folder: Path) -> str:
    """Return the hash of a registered classifier's content: that of the artifact which it was packaged as.

    Raises:
        FileNotFoundError: a file is missing.
    """
    return digest({name: hash_file(folder / place) for name, place in PLACES.items()})


def fetch_registered(version: "ModelVersion", uri: str | None, scratch: Path) -> Path:
    """Fetch a version's files into `scratch`, and return the folder that holds them.

    Raises:
        RegistryError: a file is missing, or they are not those that were registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    name = f"{version.name} version {version.version}"
    if CONTENT not in version.tags:
        raise RegistryError(f"{name}: has no hash (tag {CONTENT}), so it is not one that this project has registered")
    try:
        folder = Path(download_artifacts(version.source, dst_path=str(scratch), tracking_uri=address_of(uri)))
        found = content_of(folder)
    except (MlflowException, OSError) as error:
        raise RegistryError(f"{name}: its files cannot be had from {version.source} ({error})") from error
    if found != version.tags[CONTENT]:
        raise RegistryError(
            f"{name}: its files at {version.source} are not those that were registered (sha256 {found}, expected "
            f"{version.tags[CONTENT]}); nothing of them was opened. Roll back to another version with "
            "python flows/promote_flow.py --version N"
        )
    return folder
