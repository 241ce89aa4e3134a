import numpy as np
import pyarrow as pa
import pytest

from tasks.baseline import baseline
from tasks.core.settings import BaselineSettings
from tasks.evaluation.scores import read_scores
from tasks.texts.encoded import Encoding, write_encoded
from tasks.texts.padded import padded_schema, write_padded
from tests.support.small_reviews import WORDS, make_reviews


def lists(reviews) -> pa.ListArray:
    return pa.array(reviews, pa.list_(pa.uint16()))


@pytest.mark.parametrize("kind", ["nb", "tfidf"])
def test_either_linear_model_learns_what_words_mean(tmp_path, rng, kind):
    for split, count in (("train", 240), ("test", 80)):
        reviews, labels = make_reviews(count, rng)
        order = rng.permutation(count)
        write_encoded(tmp_path / f"{split}.parquet", [lists([reviews[row] for row in order])], np.array(labels)[order])
    Encoding(skip_top=0, start_char=None, oov_char=None, index_from=0, vocabulary_size=WORDS).write(tmp_path)
    part = np.zeros((200, 4), np.uint16), np.full(200, 4, np.int32), np.zeros(200, np.int8)
    write_padded(tmp_path / "padded.parquet", padded_schema(4, WORDS, "pre", "pre"), [part])
    (tmp_path / "padded").mkdir()
    (tmp_path / "padded.parquet").rename(tmp_path / "padded" / "train.parquet")
    (tmp_path / "out").mkdir()
    assert baseline.function(
        encoded=tmp_path, padded=tmp_path / "padded", settings=BaselineSettings(kind=kind), folder=tmp_path / "out"
    ) == {"test": 80}
    scores = read_scores(tmp_path / "out", "test")
    assert (scores.verdicts(0.5) == scores.labels).mean() > 0.9
