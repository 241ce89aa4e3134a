"""Encode: turn words into token ids by frequency, shuffle the texts and write them as Parquet."""

import tempfile
from pathlib import Path

import numpy as np

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.store.step import step
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import WordRanks, read_word_ranks
from tasks.texts.encoded import Encoding, encoded_file, write_encoded, write_vocabulary, write_words
from tasks.texts.groups import write_groups
from tasks.texts.shuffle import reorder
from tasks.texts.text_limits import check_words, counting
from tasks.texts.validation import check_labels, rows_of_splits
from tasks.texts.vocabulary import ranks_to_ids


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
    """Write a file for train, validation and test, and groups.parquet, vocabulary.json, encoding.json and words.json.

    Ids and labels equal those of keras.datasets.imdb.load_data, whose training texts train and validation share.

    Returns:
        The number of texts taken from each split of the download, and of words.

    Raises:
        DataError: a split lacks a label, or its words are beyond a limit.
    """
    word_ranks = read_word_ranks(downloaded, settings.tokenisation)
    # Ids end below it: without `num_words` below the highest id, which therefore becomes oov_char, as in load_data.
    limit = settings.num_words or max(settings.start_char or 0, word_ranks.highest_rank + settings.index_from)
    check_word_index(word_ranks, limit, settings.index_from)
    has_rarer = limit < word_ranks.highest_rank + settings.index_from
    rules = settings.model_dump(include={"tokenisation", "skip_top", "start_char", "oov_char", "index_from"})
    rows, names = rows_of_splits(downloaded, word_ranks.labels, settings), Dataset.read(downloaded).labels
    labels = {split: word_ranks.labels[source][order] for split, (source, order) in rows.items()}
    check_labels(labels, names, settings, is_cut=rows["validation"][0] == "train")
    encoding = Encoding(**rules, vocabulary_size=limit, labels=len(names))
    write_groups(folder, word_ranks.groups[rows["train"][1]])
    highest, words = 0, {}
    for source, parts in word_ranks.parts.items():
        orders = {split: order for split, (origin, order) in rows.items() if origin == source}
        counts = [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
        ids = (ranks_to_ids(part, encoding) for part in counting(parts(), encoding, counts))
        with tempfile.TemporaryFile(dir=folder) as scratch:
            in_order = reorder(ids, scratch)
            for split, order in orders.items():
                highest = max(highest, write_encoded(encoded_file(folder, split), in_order(order), labels[split]))
        kept = np.sort(np.concatenate([*orders.values()]))
        words[source] = check_words(source, kept, counts, settings, word_ranks.name_row, has_rarer=has_rarer)
    write_words(folder, words)
    size = max(settings.num_words or 0, highest + 1)
    encoding.model_copy(update={"vocabulary_size": size}).write(folder)
    write_vocabulary(folder, word_ranks.vocabulary)
    return {source: its["reviews"] for source, its in words.items()} | {"words": len(word_ranks.vocabulary)}
