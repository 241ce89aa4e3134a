"""Baseline: a linear model of phrases of the same encoded words, to compare every network with, and to serve."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from tasks.core.run_settings import BaselineSettings
from tasks.evaluation.predictions import Scores, write_scores
from tasks.evaluation.selection_metric import measure
from tasks.linear.naive_bayes import MAXLEN, PhraseModel, fix_threads
from tasks.linear.out_of_fold import Learned, labels_to_fit, learn_folds, logits_of, probabilities_of
from tasks.linear.phrase_tables import LONGEST, Parts, check_table, count_phrases, learn_phrases, sizes_of
from tasks.network.keras_files import MODEL, save_model
from tasks.network.tensorflow_setup import start_tensorflow
from tasks.store.step import step
from tasks.texts.encoded import Encoding, read_split
from tasks.texts.groups import fold_of, read_groups

if TYPE_CHECKING:
    import keras

ITERATIONS = 20  # more overfits
FOLDS, MANY_LABELS = 4, 10
PENALTIES = (0.2, 1.0)
SHORT = 50  # phrases in a text on average: a sum of few weights needs larger ones


def read_texts(encoded: Path, split: str) -> tuple[Parts, np.ndarray]:
    """Return the first `MAXLEN` tokens of the texts of a split, and their labels, like `read_split`."""
    parts, labels = read_split(encoded, split)
    return lambda: (pc.list_slice(tokens, 0, MAXLEN) for tokens in parts()), labels


def make_network(known: np.ndarray, models: list[PhraseModel], vocabulary_size: int) -> "keras.Model":
    """Return the linear models as a network from token ids to probabilities, like those of `tasks.build`."""
    start_tensorflow()
    import keras

    from tasks.network.custom_layers import OneVsRest, PhraseLogits

    codes = known if len(known) else np.zeros(1, np.int64)  # 0 is the code of no phrase
    table = np.zeros((len(codes) + 1, len(models)), np.float32)
    table[: len(known)] = np.stack([model.weights for model in models], axis=1)
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    layer = PhraseLogits(len(codes), vocabulary_size, LONGEST, len(models), name="phrase_logits")
    logits = layer(tokens)
    layer.set_weights([codes, table, np.array([model.intercept for model in models])])
    return keras.Model(tokens, OneVsRest(name="probabilities")(logits), name="linear_classifier")


@step()
def baseline(*, encoded: Path, settings: BaselineSettings, out_of_fold: bool, folder: Path) -> dict[str, float]:
    """Write model.keras and the scores of the test and validation texts; return how many, and the inverse penalty.

    With `out_of_fold`, also write scores of the training texts, each by a model that has not seen its fold.
    """
    fix_threads()
    size = Encoding.read(encoded).vocabulary_size
    texts, labels = read_texts(encoded, "train")
    folds = np.full(len(labels), -1)
    if out_of_fold:
        count = FOLDS if labels.max() < MANY_LABELS else 2  # each label is a fit in each fold
        folds = fold_of(read_groups(encoded), labels, count)
    known, counts = learn_phrases(texts, size, settings.min_documents)
    check_table(len(known), len(labels_to_fit(labels)), "--baseline.min-documents")

    def fit(penalty: float, folds: np.ndarray) -> Learned:
        rules = {"min_documents": settings.min_documents, "inverse_penalty": penalty, "iterations": ITERATIONS}
        return learn_folds(counts, labels, sizes_of(known, size), folds, keep=False, by_share=True, **rules)

    def score(models: list[PhraseModel], split: str) -> Scores:
        parts, numbers = read_texts(encoded, split)
        presence = count_phrases(parts(), known, size).sign()
        return Scores(numbers, probabilities_of(logits_of(models, presence)))

    def validation_loss(penalty: float) -> float:
        scores = score(fit(penalty, np.full(len(labels), -1)).whole, "validation")
        return measure("log_loss", scores.labels, scores.labels, scores.probabilities)

    penalty = settings.inverse_penalty or PENALTIES[0]
    if settings.inverse_penalty is None and counts.nnz < SHORT * len(labels) and labels.max() < MANY_LABELS:
        penalty = min(PENALTIES, key=validation_loss)
    learned = fit(penalty, folds)
    if out_of_fold:
        write_scores(folder, "train", Scores(labels, probabilities_of(learned.logits)))
    rows = {}
    for split in ("test", "validation"):
        scores = score(learned.whole, split)
        write_scores(folder, split, scores)
        rows[split] = len(scores.labels)
    save_model(make_network(known, learned.whole, size), folder / MODEL)
    return rows | {"inverse_penalty": penalty}
