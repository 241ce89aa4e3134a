"""Near-duplicates: a copy with a changed word is found, unrelated texts are not."""

import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.texts.near_duplicates import cluster_texts, find_near_pairs, hash_words, pair_words, sign_texts

WORDS = [a + b + c for a in "bdfgkl" for b in "aeiou" for c in ("n", "r", "st", "mp", "x", "lk")]


def text_of(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(30, 400))
def test_a_copy_with_one_changed_word_joins_the_cluster_of_its_original(seed, words):
    rng = random.Random(seed)
    texts = [text_of(rng, words) for _ in range(50)]
    place, changed = rng.randrange(50), texts[7].split()
    changed[rng.randrange(words)] = "otherword"
    texts.insert(place, " ".join(changed).upper() + "!")
    clusters = cluster_texts([pa.array(texts[:20]), pa.array(texts[20:])])
    original = 7 + (place <= 7)
    assert clusters[place] == clusters[original] == min(place, original)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 60))
def test_unrelated_texts_are_not_near_duplicates(seed, words):
    rng = random.Random(seed)
    texts = [text_of(rng, words) for _ in range(100)]
    assert cluster_texts([pa.array(texts)]).tolist() == list(range(100))


def test_the_same_words_in_another_order_are_not_near_duplicates():
    words = WORDS[:40]
    texts = [" ".join(words), " ".join(random.Random(1).sample(words, 40))]
    assert cluster_texts([pa.array(texts)]).tolist() == [0, 1]


def test_a_thousand_equal_texts_form_one_cluster_from_few_pairs():
    tokens = pa.array([["one", "more", "time"]] * 1000 + [[], ["quite", "another"], []])
    signatures = sign_texts(hash_words(tokens), tokens.offsets.to_numpy().astype(np.int64))
    pairs = find_near_pairs(signatures)
    assert len(pairs) < 2500
    assert cluster_texts([pa.array(["one more time"] * 1000 + ["", "quite another", ""])]).tolist() == [
        *[0] * 1000,
        1000,
        1001,
        1002,
    ]


def test_the_last_word_of_a_text_is_not_paired_with_the_next_text():
    hashes, bounds = np.arange(1, 5, dtype=np.uint64), np.array([0, 2, 2, 4])
    alone = [pair_words(part, np.array([0, 2])) for part in (hashes[:2], hashes[2:])]
    assert pair_words(hashes, bounds).tolist() == np.concatenate(alone).tolist()


def test_no_texts_give_no_clusters():
    assert cluster_texts([]).tolist() == []
