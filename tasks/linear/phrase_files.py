"""Phrase files: what linear models say about each phrase, as tables and as numbers next to padded tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from tasks.linear.phrase_codes import find_phrases, phrase_codes
from tasks.texts.dataset import JsonFile

CODES, TABLES, FOLDS, VECTORS, FACTS = "codes.npy", "tables.npy", "folds.npy", "vectors.npy", "phrases.json"


class Quality(BaseModel):
    """How well the linear model of the phrases classifies texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: float
    log_loss: float


class PhraseFacts(JsonFile):
    """How the tables were made.

    Attributes:
        vocabulary_size: of the codes.
        longest: words of the longest phrase.
        numbers: per phrase: a ratio and a weight for each model.
        phrases: rows of the tables.
        deviations: of the numbers over all training tokens, by phrase length; the tables are divided by them.
        out_of_fold: of training texts, by the models of the other folds.
        validation: of validation texts, by the models of all training texts.
    """

    FILE = FACTS

    vocabulary_size: int
    longest: int
    numbers: int
    phrases: int
    deviations: list[list[float]]
    out_of_fold: Quality
    validation: Quality


def write_tables(
    folder: Path, known: np.ndarray, whole: np.ndarray, held_out: Sequence[np.ndarray], folds: np.ndarray
) -> None:
    """Write codes.npy, tables.npy and folds.npy.

    Args:
        known: (phrases,) codes in order.
        whole: (phrases, numbers) float32 of all training texts; `held_out` has those of the other folds for each fold.
        folds: (texts,) fold of each training text.
    """
    np.save(folder / CODES, known)
    # Each table ends with a row of zeros, for unknown phrases.
    np.save(folder / TABLES, np.pad(np.stack([*held_out, whole]), ((0, 0), (0, 1), (0, 0))))
    np.save(folder / FOLDS, folds)


def read_table(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return codes, (phrases,) int64, and the numbers of all training texts, (phrases + 1, numbers), the last row 0."""
    return np.load(folder / CODES), np.array(np.load(folder / TABLES, mmap_mode="r")[-1])


@dataclass(frozen=True)
class PhraseReader:
    """The numbers for the tokens of padded texts.

    Attributes:
        facts: how the tables were made.
        known: (phrases,) codes.
        tables: (folds + 1, phrases + 1, numbers) of the other folds, and last of all training texts.
        folds: (texts,) the table for each text.
    """

    facts: PhraseFacts
    known: np.ndarray
    tables: np.ndarray
    folds: np.ndarray

    @property
    def width(self) -> int:
        """Numbers per token."""
        return self.facts.longest * self.facts.numbers

    def for_others(self, reviews: int) -> "PhraseReader":
        """Return a reader for n texts outside training, which uses the table of all training texts."""
        return replace(self, folds=np.full(reviews, len(self.tables) - 1))

    def __call__(self, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return r1 r2 r3 w1 w2 w3 for each token: (rows, length, width) float32.

        Args:
            tokens: (rows, length) int32.
            rows: (rows,) numbers of these texts.
        """
        starts = np.arange(len(tokens) + 1) * tokens.shape[1]
        codes = phrase_codes(tokens.ravel(), starts, self.facts.vocabulary_size, self.facts.longest)
        places = find_phrases(codes, self.known).reshape(-1, *tokens.shape)
        numbers = self.tables[self.folds[rows][None, :, None], places]
        joined: np.ndarray = numbers.transpose(1, 2, 3, 0).reshape(*tokens.shape, self.width)
        return joined


def read_phrases(folder: Path) -> PhraseReader:
    """Return the reader for training texts from the files of the step `phrases`."""
    known, tables, folds = (np.load(folder / name) for name in (CODES, TABLES, FOLDS))
    return PhraseReader(PhraseFacts.read(folder), known, tables, folds)
