"""Phrases: learn what words and short phrases say about the label, without showing a training text its own label."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.errors import DataError
from tasks.core.run_settings import PhraseSettings
from tasks.evaluation.predictions import Scores
from tasks.evaluation.selection_metric import measure
from tasks.linear.naive_bayes import fix_threads
from tasks.linear.out_of_fold import (
    deviations_of,
    labels_to_fit,
    learn_folds,
    logits_of,
    probabilities_of,
    scale_numbers,
)
from tasks.linear.phrase_tables import VECTORS, check_table, count_phrases, learn_phrases, sizes_of, write_tables
from tasks.linear.word_vectors import cooccurrence, word_vectors
from tasks.store.step import run_logger, step
from tasks.texts.encoded import Encoding, encoded_file, read_labels, read_split
from tasks.texts.groups import fold_of, read_groups

MAX_GAP = 0.01
VECTOR_WORDS, VECTOR_NORM = 20_000, 2.4


def learn(encoded: Path, settings: PhraseSettings, folder: Path) -> dict[str, Any]:
    """Write codes.npy, tables.npy and folds.npy from uncut training texts.

    Returns:
        {"phrases": their number, "folds": their number, "out_of_fold": the quality of training texts' logits by the
        models of the other folds, "validation": that of validation texts by the models of all training texts}.

    Raises:
        DataError: there are too many words or phrases, or no phrase that enough texts contain.
    """
    size = Encoding.read(encoded).vocabulary_size
    parts, labels = read_split(encoded, "train")
    folds = fold_of(read_groups(encoded), labels, settings.folds, settings.seed)
    known, counts = learn_phrases(parts, size, settings.min_documents)
    if not len(known):
        raise DataError(f"no phrase occurs in {settings.min_documents} training texts; lower --phrases.min-documents")
    check_table(len(known), 2 * len(labels_to_fit(labels)), "--phrases.min-documents")
    sizes = sizes_of(known, size)
    rules = settings.model_dump(include={"min_documents", "inverse_penalty", "iterations"})
    learned = learn_folds(counts, labels, sizes, folds, by_share=False, **rules)  # networks gain nothing by it
    tokens = sum(len(part.flatten()) for part in parts())
    deviations = deviations_of(learned, counts, sizes, folds, tokens)
    tables = [scale_numbers(models, sizes, deviations) for models in (*learned.held_out, learned.whole)]
    write_tables(folder, known, tables, folds)
    validation, validation_labels = read_split(encoded, "validation")
    logits = logits_of(learned.whole, count_phrases(validation(), known, size).sign())
    return {
        "phrases": len(known),
        "folds": len(learned.held_out),
        "out_of_fold": quality_of(learned.logits, labels),
        "validation": quality_of(logits, validation_labels),
    }


def quality_of(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return accuracy and log loss of the `logits_of` texts."""
    scores = Scores(labels, probabilities_of(logits))
    judged = labels, scores.verdicts(0.5), scores.probabilities
    return {"accuracy": measure("accuracy", *judged), "log_loss": measure("log_loss", *judged)}


def is_overestimated(unseen: float, validated: float, rows: int) -> bool:
    """Return whether accuracy on unseen folds exceeds that on validation texts by `MAX_GAP` and two standard errors."""
    return unseen - validated > max(MAX_GAP, 2 * math.sqrt(validated * (1 - validated) / rows))


def learn_vectors(encoded: Path, settings: PhraseSettings, folder: Path) -> None:
    """Write a vector for each token id: zeros for marks and for ids from `VECTOR_WORDS` on."""
    encoding = Encoding.read(encoded)
    parts, _labels = read_split(encoded, "train")
    size = min(VECTOR_WORDS, encoding.vocabulary_size)
    dim = min(settings.vector_dim, size)
    vectors = np.zeros((encoding.vocabulary_size, settings.vector_dim), np.float32)
    vectors[:size, :dim] = word_vectors(cooccurrence(parts(), size), dim, norm=VECTOR_NORM, seed=settings.seed)
    marks = [mark for mark in (0, encoding.start_char, encoding.oov_char) if mark is not None]
    vectors[marks] = 0
    np.save(folder / VECTORS, vectors)


@step(run_name="phrases in {settings.folds} folds")
def phrases(*, encoded: Path, settings: PhraseSettings, vectors: bool, folder: Path) -> dict[str, Any]:
    """Write the tables of the phrases, and word vectors if asked for; return the phrases' number, folds and quality."""
    fix_threads()
    facts = learn(encoded, settings, folder)
    if vectors:
        learn_vectors(encoded, settings, folder)
    logger = run_logger()
    unseen, validated = facts["out_of_fold"]["accuracy"], facts["validation"]["accuracy"]
    logger.info(
        f"{facts['phrases']:,} phrases; a linear model of them reaches {unseen:.4f} on training texts of unseen folds, "
        f"{validated:.4f} on validation texts"
    )
    if is_overestimated(unseen, validated, len(read_labels(encoded_file(encoded, "validation")))):
        logger.warning(
            f"The linear model is {100 * (unseen - validated):.1f} points better on training texts of unseen folds "
            "than on validation texts: texts about one thing may be in several folds, so the network may rely on "
            "phrases that will not help it. Name the column that says what a text is about with --data.group-column"
        )
    return facts
