"""Encode: turn words into token ids by frequency, shuffle the texts and write them as Parquet."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.store.step import step
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import WordRanks, kept_together, read_word_ranks
from tasks.texts.encoded import Encoding, encoded_file, write_encoded, write_vocabulary, write_words
from tasks.texts.groups import write_groups
from tasks.texts.shuffle import order_texts, reorder
from tasks.texts.text_limits import WordCheck
from tasks.texts.vocabulary import ranks_to_ids


def check_labels(labels: dict[str, np.ndarray], names: Sequence[str], max_reviews: int | None) -> None:
    """Refuse splits, each with (n,) integer labels, that lack one of the named labels; `max_reviews` may be why."""
    for split, numbers in labels.items():
        counts = np.bincount(numbers, minlength=len(names))
        if not counts.all():
            missing = [name for name, count in zip(names, counts, strict=True) if not count]
            remedy = "give more such texts, or leave the label out of all splits"
            if len(numbers) == max_reviews:
                remedy = f"raise --data.max-reviews ({max_reviews:,}; none takes all texts), or {remedy}"
            raise DataError(
                f"none of the {len(numbers):,} {split} texts has the label {', '.join(map(repr, missing))}; every "
                f"split needs every label: {remedy}"
            )


def check_word_index(word_ranks: WordRanks, limit: int, index_from: int) -> None:
    """Refuse a word index that ends before the ranks that become ids below `limit`; without words there is none."""
    highest = min(word_ranks.highest_rank, limit - 1 - index_from)
    if word_ranks.vocabulary and highest > len(word_ranks.vocabulary):
        raise DataError(
            f"the word index has {len(word_ranks.vocabulary):,} words, but the texts have rank {highest:,}: it "
            "belongs to another dataset or is truncated. Name the right one with --data.word-index, or delete it from "
            "the folder of the .npz: training does not need it"
        )


@step(run_name="encode the {settings.num_words} most frequent words")
def encode(*, downloaded: Path, settings: EncodeSettings, folder: Path) -> dict[str, int]:
    """Write train.parquet, test.parquet, groups.parquet, vocabulary.json, encoding.json and words.json.

    Ids and labels equal those of keras.datasets.imdb.load_data.

    Returns:
        The number of texts in each split, and of words.

    Raises:
        DataError: a split lacks a label, or its words are beyond a limit.
    """
    word_ranks = read_word_ranks(downloaded, settings.tokenisation)
    # Ids end below it: without `num_words` below the highest id, which therefore becomes oov_char, as in load_data.
    limit = settings.num_words or max(settings.start_char or 0, word_ranks.highest_rank + settings.index_from)
    check_word_index(word_ranks, limit, settings.index_from)
    rules = settings.model_dump(include={"skip_top", "start_char", "oov_char", "index_from"})
    groups, first = kept_together(downloaded, word_ranks.labels, whole_groups=settings.whole_groups)
    orders, together = order_texts(word_ranks.labels, settings, groups, first), first if groups is None else groups
    labels = {split: word_ranks.labels[split][order] for split, order in orders.items()}
    names = Dataset.read(downloaded).labels
    check_labels(labels, names, settings.max_reviews)
    train = orders["train"]
    write_groups(folder, word_ranks.groups[train], None if together is None else together[train])
    highest, words = 0, {}
    for split, order in orders.items():
        check = WordCheck(split, order, settings)
        ids = (ranks_to_ids(part, num_words=limit, **rules) for part in check.watch(word_ranks.parts[split](), limit))
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            parts = reorder(ids, order, Path(scratch))
            highest = max(highest, write_encoded(encoded_file(folder, split), parts, labels[split]))
        check.enforce(word_ranks.name_row)
        words[split] = check.summary()
    write_words(folder, words)
    size = max(settings.num_words or 0, highest + 1)
    Encoding(tokenisation=settings.tokenisation, vocabulary_size=size, labels=len(names), **rules).write(folder)
    write_vocabulary(folder, word_ranks.vocabulary)
    return {split: len(order) for split, order in orders.items()} | {"words": len(word_ranks.vocabulary)}
