"""Splitting: rows are assigned by a hash of their text or group, so a row keeps its split when others are added."""

import hashlib
from collections.abc import Iterable

import numpy as np

from tasks.core.errors import InputError
from tasks.texts.padded import SPLITS

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))
LEFT_OUT = -1
SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
               "dev": VALIDATION, "test": TEST, "testing": TEST,
               # Hugging Face's IMDB has a split without labels.
               "unsupervised": LEFT_OUT, "unsup": LEFT_OUT, "unlabelled": LEFT_OUT, "unlabeled": LEFT_OUT}  # fmt: skip
REMOVED = len(SPLITS)  # of rows that are in no split
MAX_FACTOR = 3  # by which a split may be larger or smaller than expected


def hash_texts(texts: list[str], seed: int) -> np.ndarray:
    """Return evenly distributed (n,) uint64 hashes, which ignore case and outer whitespace."""
    return hash_all((text.strip().lower().encode() for text in texts), seed.to_bytes(8))


def hash_all(contents: Iterable[bytes], key: bytes = b"") -> np.ndarray:
    """Return 64-bit hashes: (n,) uint64. Among ten million texts, two share one with a probability of 3 in 10^6."""
    digests = (hashlib.blake2b(content, digest_size=8, key=key).digest() for content in contents)
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def assign_splits(hashes: np.ndarray, test: float, validation: float) -> np.ndarray:
    """Return the split of each row, by (n,) uint64 of `hash_texts`: (n,) int8 places in SPLITS.

    Rows with equal hashes share a split. A test row stays one if `test` grows. `test` and `validation` are expected
    shares.
    """
    place = hashes / 2.0**64
    return np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN)).astype(np.int8)


def check_shares(split: np.ndarray, test: float, validation: float, place: str) -> None:
    """Refuse splits that chance, or one large group, has made three times larger or smaller than expected."""
    shares = {TEST: test, VALIDATION: validation, TRAIN: 1 - test - validation}
    for number, share in shares.items():
        rows = int((split == number).sum())
        if not share / MAX_FACTOR <= rows / len(split) <= share * MAX_FACTOR:
            raise InputError(
                f"{place}: {rows:,} of {len(split):,} rows were assigned to {SPLITS[number]}, expected about "
                f"{share * len(split):,.0f}: there are too few rows or groups, or one group is too large. Give more "
                "rows, try another --data.split-seed, or name the split of each row with --data.split-column"
            )
