"""Baseline: a linear model on phrases of the same encoded words, the yardstick beside every recurrent network."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from prefect import task

from tasks.core.caching import BY_CONTENT, keep
from tasks.core.environment import store_root
from tasks.core.settings import BaselineSettings
from tasks.core.store import Artifact, Store
from tasks.judging.scores import Scores, write_scores
from tasks.reviews.encoded import count_encoded, encoded_file, iterate_encoded, read_encoding, read_labels
from tasks.reviews.padded import PaddedFile, padded_file
from tasks.reviews.text import list_offsets

# scikit-learn and SciPy are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def phrases_of(tokens: pa.ListArray, vocabulary_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every phrase of one and two words of each review.

    Args:
        tokens: n lists of token ids, each below `vocabulary_size`.
        vocabulary_size: v; a phrase of a and b has the code (a + 1) * v + b, a word alone its id.

    Returns:
        (phrases,) int64 codes, and (phrases,) int64 rows that they stand in.
    """
    words = tokens.flatten().to_numpy().astype(np.int64)
    rows = np.repeat(np.arange(len(tokens)), np.diff(list_offsets(tokens)))
    within = rows[:-1] == rows[1:]
    pairs = ((words[:-1] + 1) * vocabulary_size + words[1:])[within]
    return np.concatenate([words, pairs]), np.concatenate([rows, rows[:-1][within]])


def count_phrases(parts: Iterator[pa.RecordBatch], vocabulary_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how often each phrase stands in each review, as (codes, rows, counts), in order of row and code."""
    codes, rows, counts, first = [], [], [], 0
    for part in parts:
        its_codes, its_rows = phrases_of(part.column("tokens"), vocabulary_size)
        order = np.lexsort((its_codes, its_rows))
        its_codes, its_rows = its_codes[order], its_rows[order]
        begins = np.flatnonzero(np.diff(its_codes, prepend=-1) | np.diff(its_rows, prepend=-1))
        codes.append(its_codes[begins])
        rows.append(its_rows[begins] + first)
        counts.append(np.diff(begins, append=len(its_codes)))
        first += len(part)
    return np.concatenate(codes), np.concatenate(rows), np.concatenate(counts)


def to_matrix(counted: tuple[np.ndarray, np.ndarray, np.ndarray], known: np.ndarray, reviews: int) -> "csr_matrix":
    """Return counts as a sparse (reviews, phrases) float32 matrix; phrases that are not `known` are left out.

    Args:
        counted: as `count_phrases` returns it.
        known: (phrases,) codes in order.
        reviews: rows of the matrix.
    """
    from scipy.sparse import csr_matrix

    codes, rows, counts = counted
    columns = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    found = known[columns] == codes
    values = counts[found].astype(np.float32)
    return csr_matrix((values, (rows[found], columns[found])), shape=(reviews, len(known)))


def fit_baseline(encoded: Path, padded: Path, settings: BaselineSettings) -> Scores:
    """Fit a logistic regression on the TF-IDF of phrases, and score the test reviews.

    It learns from the reviews that the network learns from, at their full length.

    Args:
        encoded: a folder with train.parquet and test.parquet of token lists.
        padded: a folder whose train.parquet says how many of the reviews are for training.
        settings: which phrases count, and how strongly weights are held down.

    Returns:
        The scores of the test reviews.
    """
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    size = read_encoding(encoded).vocabulary_size
    train, test = encoded_file(encoded, "train"), encoded_file(encoded, "test")
    train_rows = PaddedFile(padded_file(padded, "train")).rows
    counted = count_phrases(iterate_encoded(train, 0, train_rows), size)
    codes, documents = np.unique(counted[0], return_counts=True)
    known = codes[documents >= settings.min_documents]
    weighting = TfidfTransformer(sublinear_tf=True)
    features = weighting.fit_transform(to_matrix(counted, known, train_rows))
    model = LogisticRegression(C=settings.inverse_penalty, max_iter=1000)
    model.fit(features, read_labels(train)[:train_rows])
    test_rows = count_encoded(test)
    counted = count_phrases(iterate_encoded(test, 0, test_rows), size)
    probabilities = model.predict_proba(weighting.transform(to_matrix(counted, known, test_rows)))[:, 1]
    return Scores(read_labels(test), probabilities.astype(np.float32))


def score_baseline(encoded: Path, padded: Path, settings: BaselineSettings, folder: Path) -> dict[str, int]:
    """Write the scores of the test reviews, and return how many there are."""
    scores = fit_baseline(encoded, padded, settings)
    write_scores(folder, "test", scores)
    return {"test": len(scores.labels)}


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="baseline")
def baseline(encoded: Artifact, padded: Artifact, settings: BaselineSettings) -> Artifact:
    """Fit the linear model, and score the test reviews with it."""
    store = Store(store_root())
    paths = store.path(encoded), store.path(padded)
    return keep(lambda folder: score_baseline(*paths, settings, folder))
