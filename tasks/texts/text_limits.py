"""Limits of texts: how long they may be, and how many of their words may be unknown."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.encoded import Encoding
from tasks.texts.vocabulary import count_words

ROWS_NAMED = 5

WordCounts = list[tuple[np.ndarray, np.ndarray]]  # of parts of texts, as `count_words` returns them


def counting(parts: Iterable[pa.ListArray], encoding: Encoding, counts: WordCounts) -> Iterator[pa.ListArray]:
    """Yield lists of ranks, and add the counts of their words to `counts`."""
    for ranks in parts:
        counts.append(count_words(ranks, encoding))
        yield ranks


def check_words(
    split: str,
    rows: np.ndarray,
    counts: WordCounts,
    settings: EncodeSettings,
    name_row: Callable[[str, int], str],
    *,
    has_rarer: bool,
) -> dict[str, int]:
    """Return counts of a split: texts, words, unknown words, shortest and longest text, texts of no or too many words.

    Args:
        rows: (m,) rising numbers of the rows of the download's split that are kept; `counts` are of all.
        name_row: says where a row of a split comes from.
        has_rarer: whether a larger `num_words` would make more words known.

    Raises:
        DataError: the kept rows are beyond a limit.
    """
    words, unknown = (np.concatenate(its)[rows] for its in zip(*counts, strict=True))
    odd = np.flatnonzero((words < 1) | (words > settings.max_words))
    if len(odd) > settings.max_odd_lengths * len(words):
        named = ", ".join(f"{name_row(split, rows[at])} ({words[at]:,} words)" for at in odd[:ROWS_NAMED])
        raise DataError(
            f"{len(odd):,} of {len(words):,} {split} texts have no words or more than {settings.max_words:,} "
            f"({named}{', …' if len(odd) > ROWS_NAMED else ''}); remove them, or change --data.max-words or "
            f"--data.max-odd-lengths ({settings.max_odd_lengths})"
        )
    unknown_share = unknown.sum() / max(words.sum(), 1)
    if unknown_share > settings.max_unknown:
        found = f"{unknown_share:.1%} of the words of the {split} texts are unknown"
        worst = np.lexsort((-words, -unknown / np.maximum(words, 1)))[:ROWS_NAMED]
        named = ", ".join(f"{name_row(split, rows[at])} ({unknown[at]:,} of {words[at]:,})" for at in worst)
        remedy = f"raise --data.num-words ({settings.num_words})" if has_rarer else "give more training texts"
        raise DataError(
            f"{found}: they are not among the most frequent ones of training, as in {named}. Are these texts of the "
            f"same language and kind? Else {remedy}, or raise --data.max-unknown ({settings.max_unknown})"
        )
    return {
        "reviews": len(words),
        "words": int(words.sum()),
        "unknown": int(unknown.sum()),
        "shortest": int(words.min()) if len(words) else 0,
        "longest": int(words.max(initial=0)),
        "odd_lengths": len(odd),
    }
