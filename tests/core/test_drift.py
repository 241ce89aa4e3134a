import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.drift import add, measure_drift, profile, reference_of, stability_index
from tasks.core.padded import padded_schema, write_padded
from tests.reviews import WORDS


def test_the_stability_index_is_as_by_hand():
    expected = (0.5 - 0.25) * np.log(0.5 / 0.25) + (0.5 - 0.75) * np.log(0.5 / 0.75)
    assert stability_index([1, 3], [50, 50]) == pytest.approx(expected)
    assert stability_index([5, 5], [10, 10]) == 0
    assert np.isfinite(stability_index([10, 0], [0, 10]))


def test_a_profile_counts_every_review_and_word_once(padded, rng):
    probabilities = rng.random(len(padded.labels))
    whole = profile(padded, probabilities, oov_char=5, edges=[10.0, 20.0])
    assert sum(whole["lengths"]) == sum(whole["scores"]) == len(padded.labels)
    assert whole["words"][1] == (padded.tokens == 5).sum()
    assert sum(whole["words"]) == padded.lengths.sum()
    assert add([whole, whole])["lengths"] == [2 * count for count in whole["lengths"]]


def test_the_training_reviews_themselves_are_no_drift_and_longer_ones_are(padded, tmp_path, rng):
    parts = [(padded.tokens, padded.lengths, padded.labels)]
    write_padded(tmp_path / "train.parquet", padded_schema(64, WORDS, "pre", "pre"), parts)
    scores = rng.random(len(padded.labels)).astype(np.float32)
    pq.write_table(pa.table({"probability": scores}), tmp_path / "test.parquet")
    reference = reference_of(tmp_path, tmp_path, oov_char=5)
    same = profile(padded, scores, 5, reference["length_edges"])
    assert measure_drift(reference, same) == {"length": 0, "unknown words": 0, "score": 0}
    moved = {"lengths": [*same["lengths"][:-1], sum(same["lengths"])]}
    assert measure_drift(reference, same | moved)["length"] > 0.1
