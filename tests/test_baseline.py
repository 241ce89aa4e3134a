import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import CountVectorizer

from tasks.baseline import count_phrases, phrases_of, score_baseline, to_matrix
from tasks.core.settings import BaselineSettings
from tasks.judging.scores import read_scores
from tasks.reviews.encoded import Encoding, write_encoded, write_encoding
from tasks.reviews.padded import padded_schema, write_padded
from tests.small_reviews import WORDS, make_reviews


def lists(reviews) -> pa.ListArray:
    return pa.array(reviews, pa.list_(pa.uint16()))


def test_phrases_stay_within_their_review():
    codes, rows = phrases_of(lists([[3, 4], [], [5], [4, 4]]), 10)
    assert sorted(zip(rows.tolist(), codes.tolist(), strict=True)) == [
        (0, 3),
        (0, 4),
        (0, 44),
        (2, 5),
        (3, 4),
        (3, 4),
        (3, 54),
    ]


def test_counts_equal_those_of_scikit_learns_vectoriser(rng):
    reviews, _ = make_reviews(60, rng)
    batches = iter([pa.record_batch({"tokens": lists(reviews[start : start + 20])}) for start in (0, 20, 40)])
    counted = count_phrases(batches, WORDS)
    ours = to_matrix(counted, np.unique(counted[0]), 60)
    theirs = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\d+").fit_transform(
        [" ".join(map(str, review)) for review in reviews]
    )
    assert ours.shape == theirs.shape
    assert ours.sum() == theirs.sum()
    # The columns stand in another order: each one's counts, sorted, are the same in all.
    assert sorted(map(tuple, ours.T.toarray().astype(int))) == sorted(map(tuple, theirs.T.toarray()))


def test_a_phrase_that_training_has_not_seen_counts_for_nothing():
    counted = count_phrases(iter([pa.record_batch({"tokens": lists([[7, 8], [9]])})]), 10)
    matrix = to_matrix(counted, np.array([7, 8]), 2)
    assert matrix.toarray().tolist() == [[1, 1], [0, 0]]


def test_the_linear_model_learns_what_words_mean(tmp_path, rng):
    for split, count in (("train", 240), ("test", 80)):
        reviews, labels = make_reviews(count, rng)
        order = rng.permutation(count)
        write_encoded(tmp_path / f"{split}.parquet", [lists([reviews[row] for row in order])], np.array(labels)[order])
    write_encoding(tmp_path, Encoding(skip_top=0, start_char=None, oov_char=None, index_from=0, vocabulary_size=WORDS))
    part = np.zeros((200, 4), np.uint16), np.full(200, 4, np.int32), np.zeros(200, np.int8)
    write_padded(tmp_path / "padded.parquet", padded_schema(4, WORDS, "pre", "pre"), [part])
    (tmp_path / "padded").mkdir()
    (tmp_path / "padded.parquet").rename(tmp_path / "padded" / "train.parquet")
    (tmp_path / "out").mkdir()
    assert score_baseline(tmp_path, tmp_path / "padded", BaselineSettings(), tmp_path / "out") == {"test": 80}
    scores = read_scores(tmp_path / "out", "test")
    assert (scores.verdicts(0.5) == scores.labels).mean() > 0.9
