"""Score: the trained network's probabilities for every test and validation text."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.settings import ScoringSettings
from tasks.evaluation.scores import Scores, write_scores
from tasks.network.history import Training
from tasks.network.keras_files import MODEL, load_model
from tasks.network.scoring import Scorer, keras_scorer
from tasks.store.step import step
from tasks.texts.padded import PaddedFile, padded_file


def score_split(padded: Path, split: str, score: Scorer) -> Scores:
    """Score the texts of a split, with one part of them in memory."""
    scored = [(part.labels, score(part)) for part in PaddedFile(padded_file(padded, split))]
    labels, probabilities = (np.concatenate(column) for column in zip(*scored, strict=True))
    return Scores(labels, probabilities)


@step()
def score(*, trained: Path, padded: Path, settings: ScoringSettings, folder: Path) -> dict[str, Any]:
    """Write the scores of the test and validation texts; return how many there are."""
    scorer = keras_scorer(load_model(trained / MODEL), settings.batch_size, bucketing=Training.read(trained).bucketing)
    rows = {}
    for split in ("test", "validation"):
        scores = score_split(padded, split, scorer)
        write_scores(folder, split, scores)
        rows[split] = len(scores.labels)
    return rows
