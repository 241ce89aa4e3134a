import numpy as np
import pytest

from tasks.core.errors import DataError
from tasks.linear.phrase_tables import VECTORS, read_phrases
from tasks.texts.padded import PaddedFile
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import BAD, GOOD, WORDS


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of the texts, and the metadata of the step."""
    folder = tmp_path_factory.mktemp("phrases")
    write_reviews(folder)
    return folder, learn_small(folder)


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


def test_texts_without_a_frequent_phrase_are_refused(tmp_path):
    write_reviews(tmp_path)
    with pytest.raises(DataError, match=r"no phrase occurs in 1000 training texts; lower --phrases\.min-documents"):
        learn_small(tmp_path, min_documents=1000)
