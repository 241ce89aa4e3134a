"""Identity: hashes that recognise a text in any order, split and vocabulary."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.texts.dataset import TEXTS
from tasks.texts.shuffle import SHUFFLED, shuffled_orders
from tasks.texts.sources import imdb, npz
from tasks.texts.tokenising import tokenise
from tasks.texts.word_ranks import iterate_column

PART = 4096


@dataclass(frozen=True)
class Identities:
    """Hashes of a run's texts.

    Attributes:
        tested: (n,) uint64, of the test texts in the order in which they are scored.
        learnt: (m,) uint64, sorted and distinct, of the training and validation texts.
        left_out: how many texts of the download are among neither, because the number was limited.
    """

    tested: np.ndarray
    learnt: np.ndarray
    left_out: int = 0


def identify_texts(downloaded: Path, shuffle_seed: int, max_reviews: int | None) -> Identities:
    """Return the hashes of a download's texts, shuffled and limited as `encode` does."""
    splits = {}
    for split in SHUFFLED:
        hashes = [hashes for hashes, _texts in iterate_texts(downloaded, split, with_texts=False)]
        splits[split] = np.concatenate([np.zeros(0, np.uint64), *hashes])
    if not len(splits["validation"]):
        del splits["validation"]
    orders = shuffled_orders({split: len(hashes) for split, hashes in splits.items()}, shuffle_seed, max_reviews)
    kept = {split: hashes[orders[split]] for split, hashes in splits.items()}
    learnt = [hashes for split, hashes in kept.items() if split != "test"]
    left_out = sum(len(splits[split]) - len(hashes) for split, hashes in kept.items())
    return Identities(kept["test"], np.unique(np.concatenate(learnt)), left_out)


def iterate_texts(
    downloaded: Path, split: str, *, with_texts: bool = True
) -> Iterator[tuple[np.ndarray, pa.Array | None]]:
    """Yield the hashes and texts of a split, part by part, in the download's order.

    The texts of Keras's arrays are their words joined by spaces; None if the words are unknown or not asked for.
    """
    if (downloaded / imdb.NPZ).exists():
        yield from iterate_arrays(downloaded, split, with_texts=with_texts)
        return
    for texts in iterate_column(downloaded / TEXTS, split, "text"):
        # By the rule "unicode", case, punctuation and spaces do not matter.
        yield hash_all(pc.binary_join(tokenise(texts, "unicode"), " ").cast(pa.binary()).to_pylist()), texts


def iterate_arrays(downloaded: Path, split: str, *, with_texts: bool) -> Iterator[tuple[np.ndarray, pa.Array | None]]:
    """Yield the hashes and texts of Keras's arrays."""
    if split not in npz.KERAS_SPLITS:
        return
    lists, _labels = npz.read_ranks(downloaded / imdb.NPZ, split)
    index = downloaded / imdb.WORD_INDEX
    words = np.array(["", *imdb.read_word_index(index, str(index))], object) if with_texts and index.exists() else None
    for start in range(0, len(lists), PART):
        rows = [np.asarray(row.values, np.int32) for row in lists.slice(start, PART)]
        # A word index may end before the ranks that num_words leaves out.
        texts = (
            None if words is None else pa.array([" ".join(words.take(row, mode="clip")) for row in rows], pa.string())
        )
        yield hash_all(row.tobytes() for row in rows), texts


def hash_all(contents: Iterable[bytes]) -> np.ndarray:
    """Return 64-bit hashes: (n,) uint64. Among ten million texts, two share one with a probability of 3 in 10^6."""
    digests = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(digests, ">u8").astype(np.uint64)
