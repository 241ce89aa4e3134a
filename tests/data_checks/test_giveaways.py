"""Giveaways: ids, templates and leaked labels are found, words that go with a label by chance are not."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data_checks.giveaways import find_giveaways
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import list_offsets, scripts_of

WORDS = [f"word{letter}{other}" for letter in "abcdefgh" for other in "klmnop"]


def find(texts: list[str], labels: list[int]):
    tokens = tokenise(pa.array(texts), "unicode")
    words = tokens.flatten().dictionary_encode()
    vocabulary = words.dictionary.to_pylist()
    numbers = words.indices.to_numpy()
    return find_giveaways(numbers, list_offsets(tokens), vocabulary, scripts_of(vocabulary), np.array(labels))


def noise(seed: int, rows: int, labels: int = 2, words: int = 12) -> tuple[list[str], list[int]]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(rows)], [rng.randrange(labels) for _ in range(rows)]


@pytest.mark.parametrize(
    ("phrase", "written"),
    [
        ("refund", "Refund!"),
        ("dear valued customer", "Dear valued customer,"),
        ("ticket0000", "ticket{row}"),
        ("(Greek)", "λόγ{letter}ς"),
    ],
)
@pytest.mark.parametrize("labels", [2, 5, 300])
def test_a_phrase_pattern_or_script_that_implies_a_label_is_found(phrase, written, labels):
    texts, numbers = noise(1, 1500, labels)
    for row in range(0, 1500, 50):
        numbers[row], texts[row] = (
            1,
            f"{texts[row]} {written.format(row=1000 + row, letter='αβγδεζηθ'[row // 50 % 8])} {texts[row + 1]}",
        )
    texts[0] += f" {texts[0]}"
    found, total = find(texts, numbers)
    assert (found[0].phrase, found[0].label, found[0].rows, found[0].share) == (phrase, 1, 30, 1.0)
    assert total >= len(found) == 1
    assert found[0].coverage == 30 / numbers.count(1)
    assert found[0].suspects.tolist() == [0, 50, 100]


def test_rows_that_contradict_a_giveaway_are_suspects():
    texts, labels = noise(2, 1000)
    for row in range(200):
        texts[row], labels[row] = f"refund {texts[row]}", int(row != 150)
    found, _total = find(texts, labels)
    assert (found[0].phrase, found[0].rows, found[0].share) == ("refund", 200, 0.995)
    assert found[0].suspects.tolist() == [0, 1, 2, 150]


def test_a_giveaway_needs_twenty_rows_and_over_99_percent_of_one_label():
    texts, labels = noise(3, 1000)
    for row in range(119):
        word = "rare" if row < 19 else "impure"
        texts[row], labels[row] = f"{word} {texts[row]}", int(row != 100)
    assert find(texts, labels) == ([], 0)


@pytest.mark.parametrize(("rows", "found"), [(60, 0), (400, 1)])
def test_a_word_of_the_majority_label_is_a_giveaway_only_beyond_chance(rows, found):
    texts, _labels = noise(4, 2000)
    labels = [int(row % 20 == 0) for row in range(2000)]  # chance gives 0 to 19 of 20 rows
    usual = [row for row in range(2000) if row % 20][:rows]
    for row in usual:
        texts[row] += " refund"
    assert find(texts, labels)[1] == found


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 3, 10]))
def test_random_texts_have_no_giveaways(seed, labels):
    assert find(*noise(seed, 600, labels)) == ([], 0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 60))
def test_a_giveaway_has_the_exact_number_of_its_rows(seed, rows):
    rng = random.Random(seed)
    texts, labels = noise(seed, 500)
    for row in rng.sample(range(500), rows):
        texts[row], labels[row] = f"{texts[row]} leaked label", 1
    found, _total = find(texts, labels)
    assert [(one.phrase, one.rows) for one in found] == [(found[0].phrase, rows)]
    assert found[0].phrase in "leaked label"


def test_texts_without_words_have_no_giveaways():
    assert find(["", "!"], [0, 1]) == ([], 0)
