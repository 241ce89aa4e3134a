"""Baseline: a linear model on phrases of the same encoded words, to compare every network with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.settings import BaselineSettings
from tasks.evaluation.scores import Scores, write_scores
from tasks.linear.naive_bayes import fit_phrases, presence_of, signs_of
from tasks.linear.phrase_codes import LONGEST, count_phrases, learn_phrases, sizes_of
from tasks.linear.threads import fix_threads
from tasks.store.step import step
from tasks.texts.encoded import Encoding, count_encoded, encoded_file, parts_of, read_labels
from tasks.texts.padded import PaddedFile, padded_file

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WORDS_PER_PHRASE = {"nb": LONGEST, "tfidf": 2}
INVERSE_PENALTY = {"nb": 0.2, "tfidf": 10.0}
ITERATIONS = 20  # more overfits


def fit_baseline(encoded: Path, padded: Path, settings: BaselineSettings) -> Scores:
    """Fit a linear model on the uncut texts that the network trains on, and return the scores of the test texts.

    `padded` only says how many of the texts in `encoded` are for training.
    """
    size, longest = Encoding.read(encoded).vocabulary_size, WORDS_PER_PHRASE[settings.kind]
    train, test = encoded_file(encoded, "train"), encoded_file(encoded, "test")
    train_rows = PaddedFile(padded_file(padded, "train")).rows
    known, counts = learn_phrases(parts_of(train, 0, train_rows), size, settings.min_documents, longest)
    held_out = count_phrases(parts_of(test, 0, count_encoded(test))(), known, size, longest)
    labels = read_labels(train)[:train_rows]
    penalty = settings.inverse_penalty or INVERSE_PENALTY[settings.kind]
    if settings.kind == "tfidf":
        probabilities = fit_tfidf(counts, labels, held_out, penalty)
    else:
        probabilities = fit_naive_bayes(counts, labels, held_out, sizes_of(known, size), settings, penalty)
    probabilities = probabilities.astype(np.float32)
    return Scores(read_labels(test), probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities)


def fit_naive_bayes(
    train: "csr_matrix",
    labels: np.ndarray,
    test: "csr_matrix",
    sizes: np.ndarray,
    settings: BaselineSettings,
    inverse_penalty: float,
) -> np.ndarray:
    """Fit on training counts, and return the probabilities of each test text: (tests, labels), adding up to 1.

    With more than two labels, each is fitted against the rest, and the probabilities are normalised. The counts are
    (texts, phrases) and (tests, phrases), and `sizes` has the words of each phrase.
    """
    presence, held_out = presence_of(train), presence_of(test)
    turned = presence.T.tocsr()
    rules: dict[str, Any] = {
        "min_documents": settings.min_documents,
        "inverse_penalty": inverse_penalty,
        "iterations": ITERATIONS,
    }

    def probability_of(label: int) -> np.ndarray:
        model = fit_phrases(presence, turned, signs_of(labels == label), sizes, **rules)
        probability: np.ndarray = 1 / (1 + np.exp(-model.logits(held_out)))
        return probability

    count = int(labels.max()) + 1
    if count == 2:
        positive = probability_of(1)
        return np.stack([1 - positive, positive], axis=1)
    each = np.stack([probability_of(label) for label in range(count)], axis=1)
    shares: np.ndarray = each / each.sum(axis=1, keepdims=True)
    return shares


def fit_tfidf(train: "csr_matrix", labels: np.ndarray, test: "csr_matrix", inverse_penalty: float) -> np.ndarray:
    """Fit on training counts, (texts, phrases), and return probabilities of the test texts: (tests, labels) float64."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    weighting = TfidfTransformer(sublinear_tf=True)
    model = LogisticRegression(C=inverse_penalty, max_iter=1000)
    model.fit(weighting.fit_transform(train), labels)
    probabilities: np.ndarray = model.predict_proba(weighting.transform(test))
    return probabilities


@step(run_name="baseline {settings.kind}")
def baseline(*, encoded: Path, padded: Path, settings: BaselineSettings, folder: Path) -> dict[str, int]:
    """Write the scores of the test texts, and return their number."""
    fix_threads()
    scores = fit_baseline(encoded, padded, settings)
    write_scores(folder, "test", scores)
    return {"test": len(scores.labels)}
