"""Text statistics: scripts, lengths and shifts."""

import numpy as np
import pytest

from tasks.data_checks.text_statistics import describe_split, measure_scripts, measure_shifts
from tasks.texts.vocabulary import scripts_of


def test_scripts_are_identified_and_measured_by_letter_count():
    vocabulary = ["good", "λόγος", "42", "хорошо", "好", "4th", "º"]
    scripts = scripts_of(vocabulary)
    assert scripts == ["Latin", "Greek", "", "Cyrillic", "Han", "Latin", "Latin"]
    shares = measure_scripts(scripts[:4], vocabulary[:4], np.array([3, 2, 9, 1]))
    assert shares == pytest.approx({"Latin": 12 / 28, "Greek": 10 / 28, "Cyrillic": 6 / 28})
    assert measure_scripts([""], ["42"], np.array([1])) == {}


def test_a_split_is_described_by_label_counts_and_text_lengths():
    described = describe_split(np.array([0, 1, 1]), np.array([0, 10, 30]), ("no", "yes", "maybe"))
    assert described == {
        "rows": 3,
        "labels": {"no": 1, "yes": 2, "maybe": 0},
        "words": {"median": 10.0, "p95": pytest.approx(28.0), "longest": 30.0},
    }


@pytest.mark.parametrize(("length", "offset", "shifted"), [(20, 0, set()), (60, 0, {"length"}), (20, 60, {"words"})])
def test_shifts_in_length_and_words_are_detected(length, offset, shifted):
    rng = np.random.RandomState(1)
    lengths = np.concatenate([rng.poisson(20, 1000), rng.poisson(length, 300), rng.poisson(20, 50)])
    splits = np.repeat(np.array([0, 2, 1], np.int8), [1000, 300, 50])
    words = rng.randint(0, 100, lengths.sum())
    words[np.repeat(splits, lengths) == 2] += offset
    shifts = measure_shifts(words, lengths, splits, 200)
    assert list(shifts) == ["test"]  # validation has too few rows
    assert {name for name, value in shifts["test"].items() if value > 0.25} == shifted
