from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.sources.labels import name_labels

PATH = Path("a.csv")


@pytest.mark.parametrize(
    ("counts", "labels", "reason", "flag"),
    [
        ({"spam": 3, "ham": 9}, ["ham", "spam"], "rarer", "ham"),
        ({"ham": 3, "spam": 9}, ["spam", "ham"], "rarer", "spam"),
        ({"y": 5, "x": 5}, ["x", "y"], "later by name", "x"),
        ({"not bad": 5, "it's": 4}, ["not bad", "it's"], "rarer", "'not bad'"),
    ],
)
def test_an_unknown_positive_label_is_the_rarer_one_and_the_log_says_so(counts, labels, reason, flag):
    warnings: list[str] = []
    assert name_labels(counts, None, PATH, warnings.append) == labels
    (line,) = warnings
    assert f"takes the label {labels[1]!r} as positive, because it is the {reason} one" in line
    assert line.endswith(f"for the other give --data.positive-label {flag}")


def test_whole_numbers_are_in_their_order_and_before_names():
    counts = dict.fromkeys(["10", "b", "1", "-1", "0", "-10", "a"], 1)
    assert name_labels(counts, None, PATH, pytest.fail) == ["-10", "-1", "0", "1", "10", "a", "b"]


@given(st.permutations([("0", 9), ("1", 2)]), st.integers(1, 50))
def test_a_known_positive_label_stays_positive_however_frequent_it_is(pairs, count):
    counts = dict(pairs) | {"1": count}
    assert name_labels(counts, None, PATH, pytest.fail) == ["0", "1"]
    assert name_labels(counts, "0", PATH, pytest.fail) == ["1", "0"]
