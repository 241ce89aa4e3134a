"""The classifier as MLflow stores and loads it, without this project: texts in, a table of verdicts out.

MLflow calls `_load_pyfunc` on a registered version's folder, which holds a copy of these modules; no pickle is read.
"""

import importlib.metadata
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.core.files import digest, hash_file
from tasks.network.bundle import FACTS, MLFLOW_MODEL, BundleFacts, Classifier, open_onnx
from tasks.network.keras_files import MODEL
from tasks.network.scoring import NETWORK
from tasks.network.verdicts import added_names, verdict_columns
from tasks.store.fingerprint import project_modules
from tasks.texts.encoded import ENCODING, VOCABULARY

if TYPE_CHECKING:
    import pandas

COLUMN = "text"
# MLflow's names for the column of a list, in a process of its own and in Spark.
UNNAMED = (0, "0")


class TextModel:
    """Scores texts for MLflow."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, model_input: "pandas.DataFrame", params: dict[str, Any] | None = None) -> "pandas.DataFrame":
        """Return predicted_label and probability of each text; with more than two labels also each label's probability.

        `text` is the first column of `model_input`, or it is a list that MLflow turned into a column; `params` is
        ignored. Raise MlflowException if the first column has another name, or a row has no text.
        """
        import pandas
        from mlflow.exceptions import MlflowException

        first = model_input.columns[0]
        if first not in (COLUMN, *UNNAMED):
            raise MlflowException.invalid_parameter_value(
                f"the first column is {first!r}; expected the texts there, in a column {COLUMN!r}"
            )
        for row, text in enumerate(model_input[first], 1):
            if not isinstance(text, str):
                raise MlflowException.invalid_parameter_value(
                    f"row {row}: the text is {text!r}; expected a string: add the text, or leave the row out"
                )
        texts = pa.array(model_input[first].tolist(), pa.string())
        found = verdict_columns(self.classifier, self.classifier.predict(texts)) if len(texts) else {}
        return pandas.DataFrame({name: column.to_numpy(zero_copy_only=False) for name, column in found.items()})


def _load_pyfunc(path: str) -> TextModel:
    """Return the model in a registered version's folder; MLflow prescribes the name."""
    return TextModel(open_onnx("", Path(path)))


# The module that loads a registered version, and its requirements; MLflow itself needs pandas.
LOADER = "tasks.registry.mlflow_model"
REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas", "pyarrow", "pydantic", "typing_extensions")
EXAMPLE = ["a wonderful film, one of the best", "Dull; I left."]
# The path of each file in MLflow.
PLACES = {MODEL: MLFLOW_MODEL, NETWORK: NETWORK, VOCABULARY: VOCABULARY, ENCODING: ENCODING, FACTS: FACTS}


def write_registered(packaged: Path, folder: Path) -> None:
    """Write a packaged classifier to a new folder as a model that MLflow's own commands load: texts in, verdicts out.

    They need what requirements.txt lists and not this project, because the folder holds a copy of the modules.
    `mlflow.keras` loads the network alone, with TensorFlow.
    """
    import mlflow.pyfunc
    import pandas
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    kinds = {"predicted_label": "string", "answered": "boolean"}
    named = added_names(BundleFacts.read(packaged))
    outputs: list[ColSpec | TensorSpec] = [ColSpec(kinds.get(name, "float"), name) for name in named]
    model = Model()
    keras_version = importlib.metadata.version("keras")
    model.add_flavor("keras", data="data", keras_version=keras_version, keras_backend="tensorflow")
    with tempfile.TemporaryDirectory() as scratch:
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            code_paths=[str(write_modules(Path(scratch)))],
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
            # Without a name: with one, MLflow takes no list of texts. Of any type: MLflow would make strings of nulls.
            signature=ModelSignature(Schema([ColSpec(AnyType())]), Schema(outputs)),  # type: ignore[no-untyped-call]
            input_example=pandas.DataFrame({COLUMN: EXAMPLE}),
            mlflow_model=model,
        )
    for name, place in PLACES.items():
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(packaged / name, folder / place)


def write_modules(folder: Path) -> Path:
    """Copy the modules that score a text into `folder`, and return their package."""
    package, _, _rest = LOADER.partition(".")
    for name, path in project_modules(LOADER, excluded=()).items():
        place = folder.joinpath(*name.split(".")).with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.name != "__init__.py":
            shutil.copyfile(path, place)
    for inner in [folder / package, *(path for path in (folder / package).rglob("*") if path.is_dir())]:
        (inner / "__init__.py").touch()
    return folder / package


def content_of(folder: Path) -> str:
    """Return the hash of a bundle's files; raise FileNotFoundError if one is missing."""
    return digest({name: hash_file(folder / place) for name, place in PLACES.items()})
