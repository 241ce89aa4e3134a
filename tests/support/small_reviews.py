"""Small generated reviews: one word makes a review positive, another one negative."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

import tasks.pad
from tasks.core.data_settings import PadSettings
from tasks.texts.dataset_info import Dataset
from tasks.texts.encoded import Encoding
from tasks.texts.padded import GROUPS_PER_PART, Padded, PaddedFile, write_padded

GOOD, BAD = 5, 6
WORDS = 300


def make_reviews(count: int, rng: np.random.Generator, longest: int = 90) -> tuple[list[list[int]], list[int]]:
    """Return word ranks and labels: half of the reviews per label, sorted by label as in the published file."""
    labels = sorted([0, 1] * (count // 2))
    reviews = []
    for label in labels:
        review = rng.integers(10, WORDS, rng.integers(3, longest)).tolist()
        for position in rng.integers(0, len(review), 3):
            review[position] = GOOD if label else BAD
        reviews.append(review)
    return reviews, labels


def object_array(lists: list[list[int]]) -> np.ndarray:
    """Return lists as an array of objects, even if all have the same length."""
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    return array


def write_imdb(folder: Path, train: int = 240, test: int = 80, seed: int = 7) -> str:
    """Write imdb.npz and imdb_word_index.json as the Keras host serves them, and the dataset's description.

    Returns:
        The .npz file's sha256.
    """
    rng = np.random.default_rng(seed)
    arrays = {}
    for split, count in (("train", train), ("test", test)):
        reviews, labels = make_reviews(count, rng)
        arrays[f"x_{split}"], arrays[f"y_{split}"] = object_array(reviews), np.array(labels)
    np.savez(folder / "imdb.npz", **arrays)
    Dataset(name="imdb", sha256="", labels=("negative", "positive")).write(folder)
    words = {f"word{rank}": rank for rank in range(1, WORDS)}
    (folder / "imdb_word_index.json").write_text(json.dumps(words))
    return hashlib.sha256((folder / "imdb.npz").read_bytes()).hexdigest()


def padded_schema(
    maxlen: int,
    vocabulary_size: int,
    padding: str,
    truncating: str,
    rule: str = "keras",
    labels: int = 2,
    start_char: int | None = None,
) -> pa.Schema:
    """Return the schema of padded texts with this encoding."""
    encoding = Encoding(
        tokenisation=rule,
        skip_top=0,
        start_char=start_char,
        oov_char=None,
        index_from=0,
        vocabulary_size=vocabulary_size,
        labels=labels,
    )
    return tasks.pad.padded_schema(encoding, PadSettings(maxlen=maxlen, padding=padding, truncating=truncating))


def make_padded(count: int, maxlen: int, seed: int) -> Padded:
    """Return padded reviews as arrays."""
    rng = np.random.default_rng(seed)
    reviews, labels = make_reviews(count, rng, longest=maxlen)
    tokens = np.zeros((count, maxlen), np.uint16)
    for row, review in enumerate(reviews):
        tokens[row, maxlen - len(review) :] = review
    lengths = np.array([len(review) for review in reviews], np.int32)
    return Padded(tokens, lengths, np.array(labels, np.int8), padding="pre")


def write_parts(path: Path, *parts: Padded) -> PaddedFile:
    """Write padded reviews, which are the parts of the file, and open it."""
    quarters = [
        (part.tokens[rows], part.lengths[rows], part.labels[rows])
        for part in parts
        for rows in np.array_split(np.arange(len(part.labels)), GROUPS_PER_PART)
    ]
    write_padded(path, padded_schema(parts[0].tokens.shape[1], WORDS, parts[0].padding, "pre"), quarters)
    return PaddedFile(path)


class Hostile:
    """Runs a command when it is unpickled, like a file from a hostile mirror."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)
