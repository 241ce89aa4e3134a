"""Splitting: rows dealt out by a hash of what they are, so that a row keeps its split whatever comes beside it."""

import hashlib

import numpy as np

from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))
# How much smaller, or larger, than it should be a split may turn out.
FURTHEST_OFF = 3


def hash_texts(texts: list[str], seed: int) -> np.ndarray:
    """Return 64 bits of each text and the seed, equal for texts that differ in case and outer spaces only.

    Returns:
        (n,) uint64, spread evenly.
    """
    key = seed.to_bytes(8)
    digests = (hashlib.blake2b(text.strip().lower().encode(), digest_size=8, key=key).digest() for text in texts)
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def assign_splits(hashes: np.ndarray, test: float, validation: float) -> np.ndarray:
    """Return the split of each row, which follows from the row's own hash alone.

    Rows with one hash, as those of a group or with the same text, share a split. A hash keeps its split when rows are
    added, and a test row stays one when `test` grows. Shares are right in expectation; `check_shares` looks.

    Args:
        hashes: (n,) uint64, as `hash_texts` spreads them.
        test: the share of the rows to test on.
        validation: the share of all rows to validate on.

    Returns:
        (n,) int8 places in SPLITS.
    """
    place = hashes / 2.0**64
    return np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN)).astype(np.int8)


def check_shares(split: np.ndarray, test: float, validation: float, place: str) -> None:
    """Refuse splits whose shares chance, or one large group, has left far from what they should be.

    Args:
        split: (n,) int8 places in SPLITS, at least one.
        test: the share of the rows to test on.
        validation: the share of all rows to validate on.
        place: where the rows come from, for the message.

    Raises:
        InputError: a split has less than a third, or more than three times, the rows that it should have.
    """
    shares = {TEST: test, VALIDATION: validation, TRAIN: 1 - test - validation}
    for number, share in shares.items():
        found = int((split == number).sum())
        if not share / FURTHEST_OFF <= found / len(split) <= share * FURTHEST_OFF:
            raise InputError(
                f"{place}: {found:,} of {len(split):,} rows were dealt out to {SPLITS[number]}, where about "
                f"{share * len(split):,.0f} should be: rows, or groups, are too few or one group is too large. Give "
                "more, try another --data.split-seed, or say the split of each row with --data.split-column"
            )
