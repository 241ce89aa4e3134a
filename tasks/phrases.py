"""Phrases: learn what words and short phrases say about the label, without showing a training text its own label."""

from pathlib import Path

import numpy as np

from tasks.core.errors import DataError
from tasks.core.run_settings import PhraseSettings
from tasks.linear.naive_bayes import fix_threads
from tasks.linear.out_of_fold import deviations_of, labels_to_fit, learn_folds, scale_numbers
from tasks.linear.phrase_tables import VECTORS, check_table, learn_phrases, sizes_of, write_tables
from tasks.linear.word_vectors import cooccurrence, word_vectors
from tasks.store.step import step
from tasks.texts.encoded import Encoding, read_split
from tasks.texts.groups import fold_of, read_groups

VECTOR_WORDS, VECTOR_NORM = 20_000, 2.4


def learn(encoded: Path, settings: PhraseSettings, folder: Path) -> dict[str, int]:
    """Write codes.npy, tables.npy and folds.npy from uncut training texts.

    Returns:
        {"phrases": their number, "folds": their number}.

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
    return {"phrases": len(known), "folds": len(learned.held_out)}


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
def phrases(*, encoded: Path, settings: PhraseSettings, vectors: bool, folder: Path) -> dict[str, int]:
    """Write the tables of the phrases, and word vectors if asked for; return the number of phrases and of folds."""
    fix_threads()
    facts = learn(encoded, settings, folder)
    if vectors:
        learn_vectors(encoded, settings, folder)
    return facts
