"""Export: write the classifier as a SavedModel from text to probability, or as ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.core.command_settings import ExportSettings
from tasks.core.errors import InputError, ModelError
from tasks.core.files import explain_os_errors, written_whole
from tasks.core.user_paths import check_writable, user_path
from tasks.network.bundle import KerasClassifier, open_keras, open_onnx
from tasks.network.onnx_export import write_network
from tasks.network.saved_model_export import score_with_saved_model, write_saved_model
from tasks.network.scoring import NETWORK
from tasks.registry.loading import find_version, load_version
from tasks.store.step import run_logger, task
from tasks.texts.encoded import write_vocabulary


def write_onnx(classifier: KerasClassifier, folder: Path) -> None:
    """Write the network with its vocabulary and encoding.

    The graph starts at token ids, because ONNX has no operator that replaces by a pattern.
    """
    write_network(classifier.network, classifier.facts.labels, folder / NETWORK)
    write_vocabulary(folder, classifier.vocabulary.to_pylist())
    classifier.encoding.write(folder)


def score_with_onnx(folder: Path, texts: pa.Array) -> np.ndarray:
    """Return the probabilities that the exported ONNX network gives each text, as `Classifier.predict` does."""
    return open_onnx(folder.name, folder).predict(texts)


PROBES = pa.array(["a wonderful film, one of the best", "Dull; I left.", "", "it's " * 600])

# How each format is written and scored, and the largest difference from Keras's scores.
FORMATS = {
    "saved_model": (write_saved_model, score_with_saved_model, 1e-6),
    "onnx": (write_onnx, score_with_onnx, 1e-5),
}


def output_of(settings: ExportSettings) -> Path:
    """Return the folder to write; refuse one that exists or cannot be written, before a model is loaded."""
    output = user_path(settings.output).absolute()
    check_writable(output)
    if output.exists():
        raise InputError(f"{output}: exists already; name a new folder with --output")
    return output


def export_classifier(classifier: KerasClassifier, output: Path, kind: str = "saved_model") -> float:
    """Write the classifier, and classifier.json, to `output`; return the largest difference of the scores.

    `output` does not exist. Raise ModelError, with nothing left behind, if the scores differ by more than the format's
    tolerance.
    """
    write, score, tolerance = FORMATS[kind]
    with explain_os_errors(output), written_whole(output) as draft:
        write(classifier, draft)
        classifier.facts.write(draft)
        gap = float(np.abs(score(draft, PROBES) - classifier.predict_with_keras(PROBES)).max())
        if not gap <= tolerance:  # nor NaN
            raise ModelError(f"{output}: the exported model's scores differ by {gap:.2g}; it is not kept")
    return gap


@task("export {settings.format}")
def export(settings: ExportSettings, uri: str | None) -> dict[str, Any]:
    """Write the champion or a named model."""
    output = output_of(settings)
    classifier = load_version(find_version(settings.model, settings.registered_model, uri), uri, open_keras)
    gap = export_classifier(classifier, output, settings.format)
    run_logger().info("%s: %s; scores differ by %.1g from Keras's", output, classifier.name, gap)
    return {"model": classifier.name, "output": str(output)}
