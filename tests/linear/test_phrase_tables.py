import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from tasks.core.errors import DataError
from tasks.linear.phrase_tables import (
    MAX_VOCABULARY,
    check_table,
    codes_of,
    count_phrases,
    distinct_phrases,
    find_phrases,
    learn_phrases,
    phrase_codes,
    sizes_of,
)
from tests.support.small_reviews import WORDS, make_reviews


def lists(reviews) -> pa.ListArray:
    return pa.array(reviews, pa.list_(pa.uint16()))


def in_thirds(reviews):
    """A function that returns the same texts in three parts on each call."""
    bounds = [0, len(reviews) // 3, 2 * len(reviews) // 3, len(reviews)]
    return lambda: (lists(reviews[start:stop]) for start, stop in itertools.pairwise(bounds))


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8))
def test_each_code_identifies_one_phrase_within_a_single_text(reviews):
    codes = codes_of(lists(reviews), 10)
    meaning: dict[int, tuple[int, ...]] = {}
    token = 0
    for review in reviews:
        for end in range(len(review)):
            for size in (1, 2, 3):
                code = int(codes[size - 1, token])
                phrase = tuple(review[end - size + 1 : end + 1]) if end + 1 >= size else None
                assert (code == -1) == (phrase is None)
                if phrase is not None:
                    assert meaning.setdefault(code, phrase) == phrase
            token += 1
    assert len(set(meaning.values())) == len(meaning)
    known = np.array(sorted(meaning), np.int64)
    assert sizes_of(known, 10).tolist() == [len(meaning[code]) for code in known.tolist()]


def test_codes_of_a_sliced_array_come_from_its_own_tokens():
    assert (codes_of(lists([[7], [3, 4]])[1:], 10) == [[4, 5], [-1, 5 + 4 * 11], [-1, -1]]).all()


def test_codes_of_the_largest_vocabulary_fit_and_a_larger_one_is_refused():
    words = np.full(3, MAX_VOCABULARY - 1)
    highest = phrase_codes(words, np.array([0, 3]), MAX_VOCABULARY)[2, 2]
    assert int(highest) == (MAX_VOCABULARY + 1) ** 3 - 1 < 2**63
    with pytest.raises(DataError, match=r"2,097,151; keep fewer with --data\.num-words 2097150"):
        learn_phrases(lambda: iter([]), MAX_VOCABULARY + 1, 1)


def test_a_table_that_no_file_can_hold_is_refused():
    check_table(1_000_000, 500, "--flag")
    with pytest.raises(DataError, match=r"1,000,000 phrases with 501 numbers each.* raise --flag"):
        check_table(1_000_000, 501, "--flag")


@pytest.mark.parametrize("min_documents", [1, 2, 3])
def test_phrase_counts_equal_those_of_scikit_learn(rng, min_documents):
    reviews, _ = make_reviews(60, rng)
    known, ours = learn_phrases(in_thirds(reviews), WORDS, min_documents)
    vectoriser = CountVectorizer(ngram_range=(1, 3), token_pattern=r"\d+", min_df=min_documents)
    theirs = vectoriser.fit_transform([" ".join(map(str, review)) for review in reviews])
    codes = []
    for phrase in vectoriser.get_feature_names_out():
        words = np.array(phrase.split(), int)
        codes.append(int(phrase_codes(words, np.array([0, len(words)]), WORDS)[len(words) - 1, -1]))
    order = np.argsort(codes)
    assert known.tolist() == np.array(codes)[order].tolist()
    assert (ours != theirs[:, order]).nnz == 0


def test_unknown_phrases_are_not_counted_and_empty_texts_have_zero_rows():
    known = distinct_phrases([lists([[7, 8], [7, 8]])], 10, repeated=True)
    assert known.tolist() == [8, 9, 9 + 8 * 11]
    assert count_phrases([lists([[], [8, 7, 8]]), lists([[9], []])], known, 10).toarray().tolist() == [
        [0, 0, 0], [1, 2, 1], [0, 0, 0], [0, 0, 0],
    ]  # fmt: skip
    assert find_phrases(np.array([8, 10, -1]), known).tolist() == [0, 3, 3]
    assert find_phrases(np.array([8]), known[:0]).tolist() == [0]
