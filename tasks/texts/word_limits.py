"""Word limits: how long texts are and how many of their words are unknown, within limits."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.vocabulary import count_words

ROWS_NAMED = 5
MAX_SHORT = 1.2  # words on average of texts that are single words


class WordCheck:
    """Counts the words of one split's texts as they pass by."""

    def __init__(self, split: str, order: np.ndarray, settings: EncodeSettings) -> None:
        """`order` has the (m,) rows of the download that the split keeps."""
        self.split, self.settings = split, settings
        self._is_kept = np.zeros(order.max(initial=-1) + 1, bool)
        self._is_kept[order] = True
        self._reviews = self._words = self._unknown = self._odd = self._longest = 0
        self._shortest = np.iinfo(np.int64).max
        # Columns: row, words, unknown words.
        self._odd_rows, self._unknown_rows = (np.zeros((0, 3), np.int64) for _ in range(2))

    def watch(self, parts: Iterator[pa.ListArray], num_words: int) -> Iterator[pa.ListArray]:
        """Yield lists of ranks, every row of the download's split in order, and count the words of the rows kept."""
        first = 0
        for ranks in parts:
            words, unknown = count_words(ranks, num_words=num_words, index_from=self.settings.index_from)
            rows = np.flatnonzero(self._is_kept[first : first + len(ranks)])
            self._add(np.stack([first + rows, words[rows], unknown[rows]], axis=1))
            first += len(ranks)
            yield ranks

    def _add(self, counted: np.ndarray) -> None:
        words = counted[:, 1]
        self._reviews += len(counted)
        self._words += int(words.sum())
        self._unknown += int(counted[:, 2].sum())
        self._shortest = int(words.min(initial=self._shortest))
        self._longest = int(words.max(initial=self._longest))
        odd = counted[(words < 1) | (words > self.settings.max_words)]
        self._odd += len(odd)
        self._odd_rows = np.concatenate([self._odd_rows, odd])[:ROWS_NAMED]
        both = np.concatenate([self._unknown_rows, counted])
        shares = both[:, 2] / np.maximum(both[:, 1], 1)
        self._unknown_rows = both[np.lexsort((-both[:, 1], -shares))[:ROWS_NAMED]]

    def summary(self) -> dict[str, int]:
        """Return counts: texts, words, unknown words, the shortest and longest text, texts of odd length."""
        return {
            "reviews": self._reviews,
            "words": self._words,
            "unknown": self._unknown,
            "shortest": min(self._shortest, self._longest),
            "longest": self._longest,
            "odd_lengths": self._odd,
        }

    def enforce(self, name_row: Callable[[str, int], str]) -> None:
        """Refuse a split beyond a limit; `name_row` says where a row of a split comes from."""
        settings, unknown_share = self.settings, self._unknown / max(self._words, 1)
        if self._odd > settings.max_odd_lengths * self._reviews:
            rows = ", ".join(
                f"{name_row(self.split, row)} ({words:,} words)" for row, words, _ in self._odd_rows.tolist()
            )
            raise DataError(
                f"{self._odd:,} of {self._reviews:,} {self.split} texts have no words or more than "
                f"{settings.max_words:,} ({rows}{', …' if self._odd > ROWS_NAMED else ''}); remove them, or change "
                f"--data.max-words or --data.max-odd-lengths ({settings.max_odd_lengths})"
            )
        if unknown_share > settings.max_unknown and self._words <= self._reviews * MAX_SHORT:
            raise DataError(
                f"{unknown_share:.1%} of the words of the {self.split} texts are unknown: nearly all of these texts "
                "have a single word, and equal texts are in the same split, so training lacks their words. Give "
                "texts of several words, or name the split of each row with --data.split-column"
            )
        if unknown_share > settings.max_unknown:
            rows = ", ".join(
                f"{name_row(self.split, row)} ({unknown:,} of {words:,})"
                for row, words, unknown in self._unknown_rows.tolist()
            )
            raise DataError(
                f"{unknown_share:.1%} of the words of the {self.split} texts are unknown: they are not among the "
                f"most frequent ones of training, as in {rows}. Are these texts of the same language and kind? "
                f"Else raise --data.num-words ({settings.num_words}) or --data.max-unknown ({settings.max_unknown})"
            )
