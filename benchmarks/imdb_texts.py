"""Texts for the benchmarks: the reviews of imdb.npz, rebuilt from word ranks and the word index in its folder."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.texts.sources.imdb import read_ranks


def word_ranks(data: Path) -> dict[str, int]:
    """Return the word index in the folder of `data`."""
    return json.loads((data.parent / "imdb_word_index.json").read_text())


def spell(data: Path, split: str) -> tuple[pa.Array, np.ndarray]:
    """Return the texts and labels of one split, in the file's order."""
    ranks = word_ranks(data)
    words = pa.array(["", *sorted(ranks, key=ranks.__getitem__)])
    lists, labels = read_ranks(data, split)
    texts = pa.ListArray.from_arrays(lists.offsets, words.take(lists.values))
    return pc.binary_join(texts, " "), labels
