"""Small outputs of the step `phrases`, for tests of the steps that read them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.core.run_settings import PhraseSettings
from tasks.phrases import phrases
from tasks.texts.encoded import Encoding, write_encoded
from tasks.texts.groups import block_of, write_groups
from tasks.texts.padded import pad_tokens, write_padded
from tests.support.small_reviews import WORDS, make_reviews, padded_schema

MARKS = {"skip_top": 0, "start_char": None, "oov_char": None, "index_from": 0}


def lists(reviews: list[list[int]]) -> pa.ListArray:
    """Return token lists as an Arrow array of uint16 lists."""
    return pa.array(reviews, pa.list_(pa.uint16()))


def write_reviews(
    folder: Path, maxlen: int = 64, padding: str = "pre", train: int = 400, validation: int = 80, labels: int = 2
) -> None:
    """Write encoded and padded texts as the steps encode and pad do, in groups of 25 neighbours within a label.

    With more than two labels, each text ends with a word that identifies its label.
    """
    rng = np.random.default_rng(3)
    (folder / "encoded").mkdir()
    (folder / "padded").mkdir()
    reviews, labels_of = make_reviews(train + validation, rng)
    if labels > 2:
        labels_of = sorted(row % labels for row in range(len(reviews)))
        reviews = [[*review, label + 1] for review, label in zip(reviews, labels_of, strict=True)]
    order = rng.permutation(len(reviews))
    tokens, labels_of = lists([reviews[row] for row in order]), np.array(labels_of)[order]
    write_groups(folder / "encoded", block_of(np.sort(labels_of))[order[:train]])
    Encoding(**MARKS, vocabulary_size=WORDS, labels=labels).write(folder / "encoded")
    schema = padded_schema(maxlen, WORDS, padding, "pre", labels=labels)
    for split, rows in (("train", slice(0, train)), ("validation", slice(train, None))):
        write_encoded(folder / "encoded" / f"{split}.parquet", [tokens[rows]], labels_of[rows])
        part = *pad_tokens(tokens[rows], maxlen, padding=padding), labels_of[rows]
        write_padded(folder / "padded" / f"{split}.parquet", schema, [part])


def learn_small(folder: Path, **values) -> dict:
    """Learn phrases from the output of `write_reviews`; write them to the folder `learned`."""
    (folder / "learned").mkdir()
    settings = PhraseSettings(**({"vector_dim": 8, "iterations": 10} | values))
    return phrases.function(encoded=folder / "encoded", settings=settings, vectors=True, folder=folder / "learned")
