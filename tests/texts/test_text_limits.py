import numpy as np
import pyarrow as pa
import pytest

from tasks.core.data_settings import EncodeSettings
from tasks.core.errors import DataError
from tasks.texts.encoded import Encoding
from tasks.texts.text_limits import check_words, counting

PARTS = [[[1, 2, 0], [9]], [[], [1, 1, 9, 9]]]


def check(rows, *, has_rarer: bool = True, **values) -> dict[str, int]:
    counts = [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
    parts = [pa.array(part, pa.list_(pa.int32())) for part in PARTS]
    encoding = Encoding(skip_top=0, start_char=1, oov_char=2, index_from=3, vocabulary_size=10)
    assert list(counting(iter(parts), encoding, counts)) == parts
    kept, settings = np.sort(np.array(rows, np.int64)), EncodeSettings(**values)
    return check_words("test", kept, counts, settings, name_row, has_rarer=has_rarer)


def name_row(split: str, row: int) -> str:
    return f"{split}.csv row {row + 1}"


def test_words_are_counted_only_in_the_rows_of_the_split():
    # Ids are ranks + 3 and less than 10, so the ranks 0 and 9 are unknown.
    assert check([3, 1, 0]) == {
        "reviews": 3,
        "words": 8,
        "unknown": 4,
        "shortest": 1,
        "longest": 4,
        "odd_lengths": 0,
    }


@pytest.mark.parametrize(
    ("order", "values", "message"),
    [
        ([0, 1, 2, 3], {}, r"1 of 4 test texts have no words or more than .*\(test\.csv row 3 \(0 words\)\)"),
        ([0, 1, 3], {"max_words": 3}, r"no words or more than 3 \(test\.csv row 4 \(4 words\)\); remove them"),
        (
            [0, 1, 3],
            {"max_unknown": 0.4},
            r"50\.0% of the words .* as in test\.csv row 2 \(1 of 1\), test\.csv row 4 \(2 of",
        ),
    ],
)
def test_a_split_beyond_a_word_limit_is_refused_with_the_reason(order, values, message):
    with pytest.raises(DataError, match=message):
        check(order, **values)


@pytest.mark.parametrize(
    ("has_rarer", "remedy"), [(True, "raise --data.num-words"), (False, "give more training texts")]
)
def test_more_words_are_suggested_only_if_there_are_any(has_rarer, remedy):
    with pytest.raises(DataError, match=f"Else {remedy}.*, or raise --data.max-unknown"):
        check([0, 1, 3], max_unknown=0.4, has_rarer=has_rarer)


def test_a_split_within_raised_limits_is_accepted():
    limits = {"max_odd_lengths": 0.25, "max_unknown": 1}
    for name in limits:
        with pytest.raises(DataError):
            check([0, 1, 2, 3], max_words=3, **limits | {name: 0.01})
    assert check([0, 1, 2, 3], **limits)["odd_lengths"] == 1


def test_an_empty_split_has_no_words():
    assert check([])["words"] == 0
