from pathlib import Path

import pytest

from tasks.texts.sources.labels import name_labels

PATH = Path("a.csv")


@pytest.mark.parametrize(
    ("counts", "labels", "reason", "flag"),
    [
        ({"spam": 3, "ham": 9}, ["ham", "spam"], "rarer one", "ham"),
        ({"ham": 3, "spam": 9}, ["spam", "ham"], "rarer one", "spam"),
        ({"y": 5, "x": 5}, ["x", "y"], "later one by name", "x"),
        ({"1": 5, "2": 4}, ["1", "2"], "rarer one", "1"),
        ({"1": 5, "5": 4}, ["1", "5"], "rarer one", "1"),
        ({"not bad": 5, "it's": 4}, ["not bad", "it's"], "rarer one", "'not bad'"),
    ],
)
def test_the_positive_label_defaults_to_the_rarer_one_with_a_warning(counts, labels, reason, flag):
    warnings: list[str] = []
    assert name_labels(counts, None, PATH, warnings.append) == labels
    (line,) = warnings
    assert f"takes the label {labels[1]!r} as positive, because it is the {reason}" in line
    assert line.endswith(f"for the other give --data.positive-label {flag}")


def test_numeric_labels_come_first_in_numeric_order():
    counts = dict.fromkeys(["10", "b", "1", "-1", "0", "-10", "a"], 1)
    assert name_labels(counts, None, PATH, pytest.fail) == ["-10", "-1", "0", "1", "10", "a", "b"]


@pytest.mark.parametrize(
    ("negative", "positive"),
    [("0", "1"), ("-1", "1"), ("neutral", "Positive"), ("ham", "1"), ("No", "Yes"), ("not spam", "spam")],
)
@pytest.mark.parametrize("rows", [(2, 9), (9, 2)])
def test_a_well_known_positive_label_does_not_depend_on_frequencies(negative, positive, rows):
    for names in ([negative, positive], [positive, negative]):
        counts = dict(zip(names, rows, strict=True))
        assert name_labels(counts, None, PATH, pytest.fail) == [negative, positive]
        assert name_labels(counts, negative, PATH, pytest.fail) == [positive, negative]
