"""Networks as .keras files: equal networks give equal bytes, and files that bring code are refused."""

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.network.tensorflow_setup import start_tensorflow

if TYPE_CHECKING:
    import keras

MODEL = "model.keras"
READER = "reader"  # the trainable part of a network that reads phrases
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model as Keras does, without times and memory addresses, so that equal models give equal bytes."""
    raw = path.with_name(f".{path.stem}.raw.keras")
    try:
        model.save(raw)
        with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.infolist():
                content = source.read(entry)
                if entry.filename == "metadata.json":
                    content = json.dumps({**json.loads(content), "date_saved": ""}).encode()
                elif entry.filename == "config.json":
                    content = number_shared_objects(content.decode()).encode()
                target.writestr(zipfile.ZipInfo(entry.filename, ZIP_EPOCH), content)
    finally:
        raw.unlink(missing_ok=True)


def number_shared_objects(config: str) -> str:
    """Number the shared objects in a model's configuration from 1; Keras uses their memory addresses."""
    numbers: dict[str, int] = {}
    pattern = r'(?<="shared_object_id": )\d+'
    return re.sub(pattern, lambda address: str(numbers.setdefault(address[0], len(numbers) + 1)), config)


def load_model(path: Path) -> "keras.Model":
    """Load a .keras file; Keras refuses one that brings code, such as a Lambda layer."""
    start_tensorflow()
    import keras

    import tasks.network.custom_layers  # noqa: F401 - registers our layers

    return keras.models.load_model(path, safe_mode=True)


def divide_weights(model: "keras.Model", temperature: float) -> None:
    """Divide a network's logits by a temperature, in the weights of its last layer."""
    last = learner_of(model).layers[-1]
    last.set_weights([weights / temperature for weights in last.get_weights()])


def learner_of(model: "keras.Model") -> "keras.Model":
    """Return the part of a network that training fits: its reader, or all of a network that reads words alone."""
    return next((layer for layer in model.layers if layer.name == READER), model)
