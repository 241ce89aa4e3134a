"""Giveaways: phrases and patterns of digits that determine the label, such as an id, a template or a leaked label."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tasks.texts.sources.splits import hash_all
from tasks.texts.vocabulary import compose

MIN_ROWS, MIN_SHARE = 20, 0.99
ALPHA = 0.01  # divided by the number of phrases
SHOWN, NAMED, EXAMPLES, LONGEST = 10, 100, 3, 3
BUCKET = 10  # bits of a code to leave out
ODD = np.uint32(0x9E3779B1)


class Giveaway(NamedTuple):
    """A phrase, the label that it determines, and the rows to look at.

    Attributes:
        phrase: one to three words; a word with 0 for each digit; or a script, as (Greek), that few words have.
        rows: their number with the phrase.
        share: of them the share with the label.
        coverage: of the label's rows the share with the phrase.
        suspects: the first three rows, and those with another label.
    """

    phrase: str
    label: int
    rows: int
    share: float
    coverage: float
    suspects: np.ndarray


def find_giveaways(
    words: np.ndarray, bounds: np.ndarray, vocabulary: list[str], scripts: list[str], labels: np.ndarray
) -> tuple[list[Giveaway], int]:
    """Return the strongest of the phrases that determine the label, at most ten, and how many there are.

    A phrase determines a label if more than 99% of the rows that contain it, at least 20, have the label, and this
    is not chance by the binomial test. Of a phrase and a part of it, only the stronger is returned.

    Args:
        words: (words,) int32 places in the vocabulary, text after text.
        bounds: (n + 1,) where each text begins.
        scripts: (vocabulary,) script of each word.
        labels: (n,) integers from 0.
    """
    by_label = np.argsort(labels, kind="stable")
    places = np.empty(len(labels), np.uint32)
    places[by_label] = np.arange(len(labels))
    rows, found, total = np.repeat(places, np.diff(bounds)), list[Giveaway](), 0
    patterns = patterns_of(words, vocabulary, scripts)
    for size, codes, is_whole in phrases_of(words, bounds, vocabulary, patterns):
        chosen = purest(codes[is_whole], rows[is_whole], labels[by_label])
        total += len(chosen)
        is_named = np.zeros(1 << 32 >> BUCKET, bool)
        is_named[[code >> BUCKET for code, *_ in chosen[:NAMED]]] = True
        near = np.flatnonzero(is_named[codes >> BUCKET] & is_whole)
        for code, label, rows_with, share, coverage in chosen[:NAMED]:
            where = near[codes[near] == code]
            phrase = [vocabulary[word] for word in words[where[0] : where[0] + size]] or [patterns[words[where[0]]]]
            its = np.sort(by_label[np.unique(rows[where])])
            suspects = np.union1d(its[:EXAMPLES], its[labels[its] != label])
            found.append(Giveaway(compose(" ".join(phrase)), label, rows_with, share, coverage, suspects))
    kept = list[Giveaway]()
    found.reverse()  # of phrases in the same rows, the longest comes first
    for one in sorted(found, key=lambda one: -one.rows):
        if not any(is_same(one, other) or is_same(other, one) for other in kept):
            kept.append(one)
    return kept[:SHOWN], total


def patterns_of(words: np.ndarray, vocabulary: list[str], scripts: list[str]) -> list[str]:
    """Return each word with 0 for its digits, or its script if most words have another; "" if it has neither."""
    names, number = np.unique(scripts, return_inverse=True)
    usual = names[np.bincount(number[words], minlength=1).argmax()] if len(words) else ""
    return [
        re.sub(r"\d", "0", word) if re.search(r"\d", word) else f"({script})" if script not in ("", usual) else ""
        for word, script in zip(vocabulary, scripts, strict=True)
    ]


def phrases_of(
    words: np.ndarray, bounds: np.ndarray, vocabulary: list[str], patterns: list[str]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield 0, hashes of the pattern at each word, and where there is one; the same for phrases of 1, 2 and 3 words.

    The hashes are (words,) uint32.
    """
    of_patterns, of_words = (
        (hash_all(its.encode() for its in kind) >> np.uint64(32)).astype(np.uint32) for kind in (patterns, vocabulary)
    )
    yield 0, of_patterns[words], np.array([bool(pattern) for pattern in patterns], bool)[words]
    codes, is_whole = of_words[words], np.ones(len(words), bool)
    for size in range(1, LONGEST + 1):
        yield size, codes, is_whole
        ends = bounds[1:] - size
        is_whole[ends[ends >= bounds[:-1]]] = False
        codes = (codes ^ codes >> np.uint32(15)) * ODD ^ np.roll(of_words[words], -size)


def is_same(one: Giveaway, other: Giveaway) -> bool:
    """Return whether a phrase is a part of another, or in practice in the same rows."""
    is_part = f" {one.phrase} " in f" {other.phrase} "
    return is_part or (one[1:5] == other[1:5] and np.array_equal(one.suspects, other.suspects))


def purest(codes: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, int, float, float]]:
    """Return the codes that determine a label, those in most rows first, with the numbers of `Giveaway`.

    Args:
        codes: (m,) uint32.
        rows: (m,) uint32 row of each code.
        labels: (n,) label of each row, in order.
    """
    from scipy.special import bdtrc  # the upper tail of the binomial distribution

    pairs = np.sort(codes.astype(np.uint64) << np.uint64(32) | rows)
    code = (pairs >> np.uint64(32)).astype(np.uint32)
    edges = np.flatnonzero(code[1:] != code[:-1]) + 1
    sizes = np.diff(edges, prepend=0, append=len(code))
    pairs = pairs[np.repeat(sizes >= MIN_ROWS, sizes)]
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]  # once per row
    code, label = pairs >> np.uint64(32), labels[pairs & np.uint64(0xFFFFFFFF)]
    is_new = np.diff(code, prepend=code[:1] + np.uint64(1)) != 0
    # Rows are in the order of their labels, so the rows of a code that have the same label are neighbours.
    begins = np.flatnonzero(is_new | (np.diff(label, prepend=label[:1]) != 0))
    number = np.cumsum(is_new) - 1
    right, count = np.diff(begins, append=len(code)), np.bincount(number)[number[begins]]
    code, label, share, of_label = code[begins], label[begins], right / count, np.bincount(labels)[label[begins]]
    by_chance = bdtrc(right - 1, count, of_label / len(labels)) * (np.bincount(number, minlength=1) >= MIN_ROWS).sum()
    chosen = np.flatnonzero((count >= MIN_ROWS) & (share > MIN_SHARE) & (by_chance < ALPHA))
    chosen = chosen[np.argsort(-count[chosen], kind="stable")]
    columns = (its[chosen].tolist() for its in (code, label, count, share, right / of_label))
    return list(zip(*columns, strict=True))
