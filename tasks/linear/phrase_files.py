"""Phrase files: what linear models say about each phrase, as tables and as numbers next to padded tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from tasks.linear.phrase_codes import find_phrases
from tasks.texts.dataset import JsonFile

TABLE, FOLDS, ROWS, VECTORS, FACTS = (
    "table.parquet",
    "folds.parquet",
    "rows.parquet",
    "vectors.parquet",
    "phrases.json",
)


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


def to_rows(rectangle: np.ndarray) -> pa.FixedSizeListArray:
    """Return a (rows, columns) float32 array as a column of fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rectangle.reshape(-1), pa.float32()), rectangle.shape[1])


def from_rows(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of fixed-size lists as a 2-D array."""
    values: np.ndarray = column.combine_chunks().flatten().to_numpy()
    return values.reshape(len(column), -1)


def write_tables(
    folder: Path, known: np.ndarray, whole: np.ndarray, held_out: Sequence[np.ndarray], folds: np.ndarray
) -> None:
    """Write table.parquet, folds.parquet and rows.parquet.

    Args:
        folder: where to write.
        known: (phrases,) codes in order.
        whole: (phrases, numbers) float32 of all training texts.
        held_out: for each fold the numbers of the other folds.
        folds: (texts,) fold of each training text.
    """
    pq.write_table(pa.table({"code": known, "numbers": to_rows(whole)}), folder / TABLE, compression="zstd")
    columns = {f"without_{fold}": to_rows(numbers) for fold, numbers in enumerate(held_out)}
    pq.write_table(pa.table(columns), folder / FOLDS, compression="zstd")
    pq.write_table(pa.table({"fold": pa.array(folds, pa.int8())}), folder / ROWS, compression="zstd")


def write_vectors(folder: Path, vectors: np.ndarray) -> None:
    """Write the vector of each token id: (ids, dim) float32."""
    pq.write_table(pa.table({"vector": to_rows(vectors)}), folder / VECTORS, compression="zstd")


def read_vectors(folder: Path) -> np.ndarray:
    """Read the vector of each token id: (ids, dim) float32."""
    return from_rows(pq.read_table(folder / VECTORS)["vector"])


def read_table(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return codes, (phrases,) int64, and the numbers of all training texts, (phrases + 1, numbers), the last row 0."""
    table = pq.read_table(folder / TABLE)
    return table["code"].to_numpy(), end_with_zeros(from_rows(table["numbers"]))


def end_with_zeros(numbers: np.ndarray) -> np.ndarray:
    """Return (phrases, numbers) with a last row of zeros, for unknown phrases."""
    return np.concatenate([numbers, np.zeros((1, numbers.shape[1]), np.float32)])


def padded_codes(tokens: np.ndarray, vocabulary_size: int, longest: int) -> np.ndarray:
    """Return the codes of the phrases that end at each padded token, like the network: (longest, rows, length) int64.

    Positions before the first column count as padding, with which no phrase is known.
    """
    base = vocabulary_size + 1
    digits = np.pad(tokens.astype(np.int64), ((0, 0), (longest - 1, 0))) + 1
    codes = np.zeros((longest, *tokens.shape), np.int64)
    for size in range(longest):
        first = longest - 1 - size
        earlier = digits[:, first : first + tokens.shape[1]] * base**size
        codes[size] = earlier + (codes[size - 1] if size else 0)
    return codes


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
        places = find_phrases(padded_codes(tokens, self.facts.vocabulary_size, self.facts.longest), self.known)
        numbers = self.tables[self.folds[rows][None, :, None], places]
        joined: np.ndarray = numbers.transpose(1, 2, 3, 0).reshape(*tokens.shape, self.width)
        return joined


def read_phrases(folder: Path) -> PhraseReader:
    """Return the reader for training texts from the files of the step `phrases`."""
    known, whole = read_table(folder)
    columns: Any = pq.read_table(folder / FOLDS).columns
    tables = np.stack([*(end_with_zeros(from_rows(column)) for column in columns), whole])
    return PhraseReader(PhraseFacts.read(folder), known, tables, pq.read_table(folder / ROWS)["fold"].to_numpy())
