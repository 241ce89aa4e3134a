"""Identity: which review is which, whatever order, split or vocabulary a run gives it."""

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
    """The reviews of a run by what they say.

    Attributes:
        tested: (n,) uint64, a hash for each test review, in the order in which it is scored.
        learnt: (m,) uint64, sorted, each once: the training and validation reviews.
    """

    tested: np.ndarray
    learnt: np.ndarray


def identify_texts(downloaded: Path, shuffle_seed: int, max_reviews: int | None) -> Identities:
    """Return who the reviews of a run are.

    Args:
        downloaded: the folder of the download.
        shuffle_seed: as `encode` shuffles them.
        max_reviews: as `encode` cuts them off.
    """
    splits = {split: hash_split(downloaded, split) for split in SHUFFLED}
    if not len(splits["validation"]):
        del splits["validation"]
    orders = shuffled_orders({split: len(hashes) for split, hashes in splits.items()}, shuffle_seed, max_reviews)
    kept = {split: hashes[orders[split]] for split, hashes in splits.items()}
    return Identities(
        kept["test"], np.unique(np.concatenate([hashes for name, hashes in kept.items() if name != "test"]))
    )


def hash_split(downloaded: Path, split: str) -> np.ndarray:
    """Return a hash for each review of a split, in the order of the download: (n,) uint64."""
    hashes = [hashes for hashes, _texts in iterate_texts(downloaded, split, with_texts=False)]
    return np.concatenate([np.zeros(0, np.uint64), *hashes])


def iterate_texts(
    downloaded: Path, split: str, *, with_texts: bool = True
) -> Iterator[tuple[np.ndarray, pa.Array | None]]:
    """Yield the hashes and the texts of a split, part by part, in the order of the download.

    The texts of Keras's arrays are their words with blanks between; None where the words are not known, or not asked
    for.
    """
    if (downloaded / imdb.NPZ).exists():
        yield from iterate_arrays(downloaded, split, with_texts=with_texts)
        return
    for texts in iterate_column(downloaded / TEXTS, split, "text"):
        yield hash_all(tokens_as_bytes(texts)), texts


def tokens_as_bytes(texts: pa.Array) -> Iterator[bytes]:
    """Yield each text as its words, by one rule for all runs: case, punctuation and blanks make no other review."""
    yield from pc.binary_join(tokenise(texts, "unicode"), " ").cast(pa.binary()).to_pylist()


def iterate_arrays(downloaded: Path, split: str, *, with_texts: bool) -> Iterator[tuple[np.ndarray, pa.Array | None]]:
    """Yield the same of Keras's arrays, which have no validation reviews of their own."""
    if split not in npz.KERAS_SPLITS:
        return
    lists, _labels = npz.read_ranks(downloaded / imdb.NPZ, split)
    index = downloaded / imdb.WORD_INDEX
    words = np.array(["", *imdb.read_word_index(index, str(index))], object) if with_texts and index.exists() else None
    for start in range(0, len(lists), PART):
        rows = [np.asarray(row.values, np.int32) for row in lists.slice(start, PART)]
        # A word index may end before the ranks do, where num_words leaves those out anyway.
        texts = (
            None if words is None else pa.array([" ".join(words.take(row, mode="clip")) for row in rows], pa.string())
        )
        yield hash_all(row.tobytes() for row in rows), texts


def hash_all(contents: Iterable[bytes]) -> np.ndarray:
    """Return 64 bits of each content: (n,) uint64. Of ten million reviews two share theirs by a chance of 3 in 10^6."""
    digests = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(digests, ">u8").astype(np.uint64)
