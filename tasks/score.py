"""Score: calibrate the network if asked, and score every test and validation text with it."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.run_settings import ScoringSettings
from tasks.evaluation.predictions import Calibration, Scores, fit_temperature, write_scores
from tasks.evaluation.training_history import Training
from tasks.network.keras_files import MODEL, divide_weights, load_model, save_model
from tasks.network.onnx_export import write_network
from tasks.network.scoring import NETWORK, Scorer, onnx_scorer
from tasks.store.step import step
from tasks.texts.dataset_info import Dataset
from tasks.texts.padded import PaddedFile, padded_file


def score_split(padded: Path, split: str, score: Scorer) -> Scores:
    """Score the texts of a split, with one part of them in memory."""
    scored = [(part.labels, score(part)) for part in PaddedFile(padded_file(padded, split))]
    labels, probabilities = (np.concatenate(column) for column in zip(*scored, strict=True))
    return Scores(labels, probabilities)


@step()
def score(*, downloaded: Path, padded: Path, trained: Path, settings: ScoringSettings, folder: Path) -> dict[str, Any]:
    """Write the network for Keras and ONNX Runtime, and ONNX Runtime's scores; return how many there are by split."""
    labels, bucketing = Dataset.read(downloaded).labels, Training.read(trained).bucketing
    network = load_model(trained / MODEL)

    def write_scorer() -> Scorer:
        write_network(network, labels, folder / NETWORK)
        return onnx_scorer(folder / NETWORK, len(labels), settings.batch_size, bucketing=bucketing, keep_memory=True)

    scorer, temperature = write_scorer(), None
    if settings.calibrate:
        temperature = fit_temperature(score_split(padded, "validation", scorer))
        divide_weights(network, temperature)
        scorer = write_scorer()
    save_model(network, folder / MODEL)
    Calibration(temperature=temperature).write(folder)
    rows = {}
    for split in ("test", "validation"):
        scores = score_split(padded, split, scorer)
        write_scores(folder, split, scores)
        rows[split] = len(scores.labels)
    return rows
