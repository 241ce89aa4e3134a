"""Encode: words to token ids by frequency, shuffled, kept as Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import task

from tasks.core.caching import BY_CONTENT, keep
from tasks.core.encoded import SPLITS, Encoding, write_encoded, write_encoding, write_vocabulary
from tasks.core.environment import store_root
from tasks.core.errors import DataError
from tasks.core.settings import EncodeSettings
from tasks.core.sources import imdb, npz, rotten_tomatoes
from tasks.core.store import Artifact, Store
from tasks.core.text import highest_id, rank_words, ranks_to_ids, tokenise, words_to_ranks

Split = tuple[pa.ListArray, np.ndarray]


def read_ranks(downloaded: Path) -> tuple[dict[str, Split], list[str]]:
    """Return the word ranks and labels of each split, and the words in order of rank, none if they are not known.

    Args:
        downloaded: a folder with imdb.npz and its word index, or with reviews.parquet.
    """
    if (downloaded / imdb.NPZ).exists():
        index = downloaded / imdb.WORD_INDEX
        words = imdb.read_word_index(index, str(index)) if index.exists() else []
        return {split: npz.read_ranks(downloaded / imdb.NPZ, split) for split in SPLITS}, words
    return rank_texts(pq.read_table(downloaded / rotten_tomatoes.REVIEWS))


def rank_texts(reviews: pa.Table) -> tuple[dict[str, Split], list[str]]:
    """Return the word ranks of raw reviews; the vocabulary is built from the training reviews alone.

    Args:
        reviews: the columns split ("train" or "test"), label (0 or 1) and text.
    """
    tables = {split: reviews.filter(pc.equal(reviews["split"], split)) for split in SPLITS}
    words = {split: tokenise(table["text"].combine_chunks()) for split, table in tables.items()}
    vocabulary = rank_words(words["train"])
    splits = {
        split: (words_to_ranks(words[split], vocabulary), table["label"].to_numpy()) for split, table in tables.items()
    }
    return splits, vocabulary


def shuffle(splits: dict[str, Split], seed: int, max_reviews: int | None) -> dict[str, Split]:
    """Put the reviews of each split into the order of keras.datasets.imdb.load_data, and keep the first ones."""
    rng = np.random.RandomState(seed)
    shuffled = {}
    for split, (ranks, labels) in splits.items():
        order = np.arange(len(labels))
        rng.shuffle(order)
        order = order[:max_reviews]
        shuffled[split] = ranks.take(pa.array(order)), labels[order]
    return shuffled


def encode_reviews(splits: dict[str, Split], settings: EncodeSettings) -> dict[str, Split]:
    """Return token ids and labels of each split, equal to those of keras.datasets.imdb.load_data.

    Args:
        splits: n lists of word ranks and (n,) labels, by split.
        settings: num_words and the marks; without num_words the highest id of all splits takes its
            place, and so becomes oov_char, as it does in load_data.

    Raises:
        DataError: a split has no reviews, or only one of the two labels.
    """
    for split, (_ranks, labels) in splits.items():
        counts = np.bincount(labels, minlength=2)
        if not counts.all():
            raise DataError(
                f"the {split} reviews have {counts[0]} negative and {counts[1]} positive ones; "
                "both are needed to train and judge a classifier"
            )
    limit = settings.num_words or max(
        highest_id(ranks, settings.start_char, settings.index_from) for ranks, _labels in splits.values()
    )
    rules = settings.model_dump(include={"skip_top", "start_char", "oov_char", "index_from"})
    return {split: (ranks_to_ids(ranks, num_words=limit, **rules), labels) for split, (ranks, labels) in splits.items()}


def encode_download(downloaded: Path, settings: EncodeSettings, folder: Path) -> dict[str, int]:
    """Write train.parquet, test.parquet, vocabulary.json and encoding.json.

    Returns:
        How many reviews each split has, and how many words are known.
    """
    splits, vocabulary = read_ranks(downloaded)
    encoded = encode_reviews(shuffle(splits, settings.shuffle_seed, settings.max_reviews), settings)
    for split, (tokens, labels) in encoded.items():
        write_encoded(folder / f"{split}.parquet", tokens, labels)
    highest = max(pc.max(tokens.flatten()).as_py() or 0 for tokens, _labels in encoded.values())
    rules = settings.model_dump(include={"skip_top", "start_char", "oov_char", "index_from"})
    write_encoding(folder, Encoding(vocabulary_size=max(settings.num_words or 0, highest + 1), **rules))
    write_vocabulary(folder, vocabulary)
    return {split: len(labels) for split, (_tokens, labels) in encoded.items()} | {"words": len(vocabulary)}


@task(
    cache_policy=BY_CONTENT,
    result_serializer="json",
    task_run_name="encode the {settings.num_words} most frequent words",
)
def encode(downloaded: Artifact, settings: EncodeSettings) -> Artifact:
    """Turn the words of every downloaded review into token ids."""
    path = Store(store_root()).path(downloaded)
    return keep(lambda folder: encode_download(path, settings, folder))
