"""IMDB: Keras's arrays of word ranks and their word index, from the Keras host, a mirror or a local copy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import SourceError, SourceUnreachable
from tasks.texts.sources.fetching import fetch, is_remote, local_path, next_to

NPZ, WORD_INDEX = "imdb.npz", "imdb_word_index.json"

# As keras.datasets.imdb publishes them (Keras 3.15).
HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
NPZ_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORD_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"


def fetch_imdb(settings: SourceSettings, folder: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """Write imdb.npz and imdb_word_index.json into `folder` and return their origin.

    The .npz must have the published hash, or the one given. The word index is JSON, so a mirror's needs no hash.

    Args:
        settings: where to fetch from.
        folder: where to write.
        warn: called if a mirror has no word index, which only showing texts as words needs.
    """
    npz = settings.source or HOST + NPZ
    sha256 = settings.sha256 or NPZ_SHA256
    index = word_index_of(settings)
    fetch(npz, folder / NPZ, expected=sha256)
    published = npz.startswith(HOST) and settings.word_index is None
    is_checked = published and not settings.word_index_sha256
    algorithm, expected = ("md5", WORD_INDEX_MD5) if is_checked else ("sha256", settings.word_index_sha256)
    try:
        fetch(index, folder / WORD_INDEX, algorithm=algorithm, expected=expected)
    except SourceError as error:
        if published or settings.word_index or settings.word_index_sha256 or isinstance(error, SourceUnreachable):
            raise
        warn(f"{error}; token ids cannot be shown as words. Name the word index with --data.word-index")
    else:
        read_word_index(folder / WORD_INDEX, index)
    source = npz if is_remote(npz) else local_path(npz).resolve().as_uri()
    return {"name": "imdb", "source": source, "sha256": sha256.lower(), "labels": ["negative", "positive"]}


def word_index_of(settings: SourceSettings) -> str:
    """Return the word index's address: as given, else in the folder of the .npz."""
    return settings.word_index or next_to(settings.source or HOST + NPZ, WORD_INDEX)


def read_word_index(path: Path, source: str) -> list[str]:
    """Return the words of a JSON word index (word -> rank, ranks 1 to n) in order of rank; `source` is for messages."""
    try:
        ranks = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(f"{source}: is not JSON ({error}); expected the word index, word -> rank") from error
    if not isinstance(ranks, dict) or sorted(map(str, ranks.values())) != sorted(map(str, range(1, len(ranks) + 1))):
        raise SourceError(f"{source}: expected an object of word -> rank with the ranks 1 to n, each once")
    return sorted(ranks, key=lambda word: int(ranks[word]))
