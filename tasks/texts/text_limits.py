"""Limits of texts: how long they may be, and how many of their words may be unknown."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.encoded import Encoding
from tasks.texts.vocabulary import count_words

ROWS_NAMED = 5
MAX_SHORT = 1.2  # words on average of texts that are single words


class WordCheck:
    """Counts the words of one split's texts as they pass by."""

    def __init__(self, split: str, order: np.ndarray, settings: EncodeSettings) -> None:
        """`order` has the (m,) rows of the download that the split keeps."""
        self._split, self._settings, self._rows = split, settings, np.sort(order)

    def watch(self, parts: Iterator[pa.ListArray], encoding: Encoding) -> Iterator[pa.ListArray]:
        """Yield lists of ranks, every row of the download's split in order, and count the words of the rows kept."""
        counted = [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
        for ranks in parts:
            counted.append(count_words(ranks, encoding))
            yield ranks
        self._words, self._unknown = (np.concatenate(counts)[self._rows] for counts in zip(*counted, strict=True))
        self._odd = np.flatnonzero((self._words < 1) | (self._words > self._settings.max_words))

    def summary(self) -> dict[str, int]:
        """Return counts: texts, words, unknown words, the shortest and longest text, texts of odd length."""
        words = self._words
        return {
            "reviews": len(words),
            "words": int(words.sum()),
            "unknown": int(self._unknown.sum()),
            "shortest": int(words.min()) if len(words) else 0,
            "longest": int(words.max(initial=0)),
            "odd_lengths": len(self._odd),
        }

    def enforce(self, name_row: Callable[[str, int], str]) -> None:
        """Refuse a split beyond a limit; `name_row` says where a row of a split comes from."""
        settings, split, words, odd = self._settings, self._split, self._words, self._odd
        if len(odd) > settings.max_odd_lengths * len(words):
            named = ", ".join(f"{name_row(split, self._rows[at])} ({words[at]:,} words)" for at in odd[:ROWS_NAMED])
            raise DataError(
                f"{len(odd):,} of {len(words):,} {split} texts have no words or more than {settings.max_words:,} "
                f"({named}{', …' if len(odd) > ROWS_NAMED else ''}); remove them, or change --data.max-words or "
                f"--data.max-odd-lengths ({settings.max_odd_lengths})"
            )
        unknown_share = self._unknown.sum() / max(words.sum(), 1)
        if unknown_share <= settings.max_unknown:
            return
        found = f"{unknown_share:.1%} of the words of the {split} texts are unknown"
        if words.mean() <= MAX_SHORT:
            raise DataError(
                f"{found}: nearly all of these texts have a single word, and equal texts are in the same split, so "
                "training lacks their words. Give texts of several words, or name the split of each row with "
                "--data.split-column"
            )
        worst = np.lexsort((-words, -self._unknown / np.maximum(words, 1)))[:ROWS_NAMED]
        named = ", ".join(f"{name_row(split, self._rows[at])} ({self._unknown[at]:,} of {words[at]:,})" for at in worst)
        raise DataError(
            f"{found}: they are not among the most frequent ones of training, as in {named}. Are these texts of the "
            f"same language and kind? Else raise --data.num-words ({settings.num_words}) or --data.max-unknown "
            f"({settings.max_unknown})"
        )
