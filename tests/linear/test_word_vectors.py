import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from tasks.linear.word_vectors import cooccurrence, word_vectors


def lists(reviews) -> pa.ListArray:
    return pa.array(reviews, pa.list_(pa.uint16()))


def test_cooccurrence_equals_a_plain_loop_for_one_or_two_parts(rng):
    reviews = [rng.integers(1, 60, rng.integers(0, 20)).tolist() for _ in range(40)]
    expected = np.zeros((50, 50))
    for review in reviews:
        for here, word in enumerate(review):
            for there, other in enumerate(review):
                if 0 < abs(here - there) <= 3 and word < 50 and other < 50:
                    expected[word, other] += 1 / abs(here - there)
    for parts in ([lists(reviews)], [lists(reviews[:7]), lists(reviews[7:])]):
        np.testing.assert_allclose(cooccurrence(parts, 50, 3).toarray(), expected, atol=1e-4)


def test_vectors_are_reproducible_of_equal_length_and_zero_for_unseen_words(rng):
    counts = rng.random((30, 30)) * (rng.random((30, 30)) < 0.3)
    counts[4] = counts[:, 4] = 0
    matrix = csr_matrix(counts + counts.T, dtype=np.float32)
    vectors = word_vectors(matrix, 8, norm=2.4, seed=1)
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(np.delete(lengths, 4), 2.4, rtol=1e-5)
    assert lengths[4] == 0
    assert (vectors == word_vectors(matrix, 8, norm=2.4, seed=1)).all()


def test_words_in_the_same_contexts_have_similar_vectors(rng):
    fruit, tools = [10, 11, 12], [20, 21, 22]
    reviews = [rng.choice(its, 12).tolist() for its in (fruit, tools) for _ in range(30)]
    vectors = word_vectors(cooccurrence([lists(reviews)], 30), 2, norm=1, seed=1)
    assert vectors[10] @ vectors[11] > 0.9 > 0.1 > abs(vectors[10] @ vectors[20])
