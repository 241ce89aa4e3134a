"""What the step `phrases` leaves, small: for tests of what reads it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.core.settings import PhraseSettings
from tasks.phrases import learn_all
from tasks.texts.encoded import Encoding, write_encoded, write_encoding
from tasks.texts.groups import block_of, write_groups
from tasks.texts.padded import pad_tokens, padded_schema, write_padded
from tests.support.small_reviews import WORDS, make_reviews

MARKS = {"skip_top": 0, "start_char": None, "oov_char": None, "index_from": 0}


def lists(reviews: list[list[int]]) -> pa.ListArray:
    """Return reviews as Parquet holds them."""
    return pa.array(reviews, pa.list_(pa.uint16()))


def write_reviews(
    folder: Path, maxlen: int = 64, padding: str = "pre", train: int = 400, validation: int = 80, labels: int = 2
) -> None:
    """Write encoded and padded reviews as encode and pad do, in groups of 25 neighbours within a label.

    Of more than two labels a word each tells them apart.
    """
    rng = np.random.default_rng(3)
    (folder / "encoded").mkdir()
    (folder / "padded").mkdir()
    reviews, told = make_reviews(train + validation, rng)
    if labels > 2:
        told = sorted(row % labels for row in range(len(reviews)))
        reviews = [[*review, label + 1] for review, label in zip(reviews, told, strict=True)]
    order = rng.permutation(len(reviews))
    tokens, told = lists([reviews[row] for row in order]), np.array(told)[order]
    write_encoded(folder / "encoded" / "train.parquet", [tokens], told)
    write_groups(folder / "encoded", block_of(np.sort(told), 25)[order], together=False)
    write_encoding(folder / "encoded", Encoding(**MARKS, vocabulary_size=WORDS, labels=labels))
    schema = padded_schema(maxlen, WORDS, padding, "pre", labels=labels)
    for split, rows in (("train", slice(0, train)), ("validation", slice(train, None))):
        part = *pad_tokens(tokens[rows], maxlen, padding=padding), told[rows]
        write_padded(folder / "padded" / f"{split}.parquet", schema, [part])


def learn_small(folder: Path, say=print, warn=print, **values) -> dict:
    """Learn phrases of what `write_reviews` wrote, into the folder learned."""
    (folder / "learned").mkdir()
    settings = PhraseSettings(**({"vector_dim": 8, "iterations": 10} | values))
    return learn_all(folder / "encoded", folder / "padded", settings, True, folder / "learned", say, warn)
