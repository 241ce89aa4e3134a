import logging

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import logit

from tasks.core.errors import DataError
from tasks.linear.phrase_tables import VECTORS, read_phrases
from tasks.phrases import is_overestimated, quality_of
from tasks.texts.encoded import write_encoded
from tasks.texts.groups import write_groups
from tasks.texts.padded import PaddedFile
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import BAD, GOOD, WORDS


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of the texts, the metadata of the step, and the lines that it logged."""
    folder = tmp_path_factory.mktemp("phrases")
    write_reviews(folder)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("prefect.steps")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        return folder, learn_small(folder), lines
    finally:
        logger.removeHandler(handler)


def test_the_step_reports_the_accuracy_of_its_linear_model(learned):
    _folder, meta, logged = learned
    assert meta["out_of_fold"]["accuracy"] > 0.9
    assert meta["validation"]["accuracy"] > 0.9
    assert len(logged) == 1
    assert (
        f"a linear model of them reaches {meta['out_of_fold']['accuracy']:.4f} on training texts of unseen" in logged[0]
    )


def test_good_and_bad_words_have_the_right_sign_in_every_fold(learned):
    reader = read_phrases(learned[0] / "learned", WORDS)
    assert reader.width == 6
    assert reader.tables.shape == (5, learned[1]["phrases"] + 1, 2)
    tokens = np.array([[0, GOOD, BAD]], np.int32)
    for numbers in (*(reader(tokens, np.array([row]))[0] for row in range(20)), reader.for_others(1)(tokens, [0])[0]):
        ratio, weight = numbers[:, 0], numbers[:, 3]
        assert (ratio[1], weight[1]) > (0, 0) > (ratio[2], weight[2])
        assert not numbers[0].any()


def test_word_numbers_have_a_standard_deviation_of_1_and_are_clipped_at_5(learned):
    reader = read_phrases(learned[0] / "learned", WORDS)
    part = PaddedFile(learned[0] / "padded" / "train.parquet")[0]
    numbers = reader(part.tokens.astype(np.int32), np.arange(len(part.labels)))[part.tokens > 0]
    # Only single words: longer phrases are so rare here that most of their numbers are clipped.
    np.testing.assert_allclose(numbers[:, [0, 3]].std(axis=0), 1, atol=0.05)
    assert np.abs(numbers).max() == 5


def test_word_vectors_have_equal_length_and_padding_has_none(learned):
    lengths = np.linalg.norm(np.load(learned[0] / "learned" / VECTORS), axis=1)
    assert lengths.shape == (WORDS,)
    assert lengths[0] == 0
    np.testing.assert_allclose(lengths[10:], 2.4, rtol=1e-5)


def test_equal_input_gives_identical_bytes(learned, tmp_path):
    write_reviews(tmp_path)
    learn_small(tmp_path)
    for path in (tmp_path / "learned").iterdir():
        assert path.read_bytes() == (learned[0] / "learned" / path.name).read_bytes(), path.name


def test_folds_that_separate_equal_texts_cause_a_warning(tmp_path, caplog):
    """Each training text occurs twice, in two groups but with one label, and never in validation."""
    write_reviews(tmp_path, validation=80)
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.tile([0, 1], 200), np.tile([0, 1], 40)])
    films = [rng.integers(1, WORDS, 9).tolist() for _ in range(200)]
    reviews = [films[(row // 4) * 2 + row % 2] for row in range(400)]
    reviews += [rng.integers(1, WORDS, 9).tolist() for _ in range(80)]
    for split, rows in (("train", slice(0, 400)), ("validation", slice(400, None))):
        tokens = pa.array(reviews[rows], pa.list_(pa.uint16()))
        write_encoded(tmp_path / "encoded" / f"{split}.parquet", [tokens], labels[rows])
    write_groups(tmp_path / "encoded", np.arange(400))
    learn_small(tmp_path)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1
    assert "--data.group-column" in warned[0]


@pytest.mark.parametrize(
    ("unseen", "rows", "expected"), [(0.73, 179, False), (0.73, 10_000, True), (0.81, 179, True), (0.726, 10**6, False)]
)
def test_a_gap_within_two_standard_errors_or_one_point_causes_no_warning(unseen, rows, expected):
    assert is_overestimated(unseen, 0.717, rows) == expected


def test_texts_without_a_frequent_phrase_are_refused(tmp_path):
    write_reviews(tmp_path)
    with pytest.raises(DataError, match=r"no phrase occurs in 1000 training texts; lower --phrases\.min-documents"):
        learn_small(tmp_path, min_documents=1000)


def test_quality_is_accuracy_and_log_loss_for_two_and_three_labels():
    two = quality_of(np.array([[2.0], [-1.0], [0.5]]), np.array([1, 0, 0]))
    assert two["accuracy"] == pytest.approx(2 / 3)
    assert two["log_loss"] == pytest.approx(np.mean(np.log1p(np.exp([-2, -1, 0.5]))))
    three = quality_of(logit([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]]), np.array([0, 2]))
    assert (three["accuracy"], three["log_loss"]) == (0.5, pytest.approx(-np.mean(np.log([0.7, 0.4]))))
