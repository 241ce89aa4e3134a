import numpy as np

from tasks.evaluation.scores import look_up


def test_a_score_is_found_by_its_review_in_any_order():
    known, probabilities = np.array([9, 2, 5], np.uint64), np.array([0.9, 0.2, 0.5])
    assert look_up(np.array([5, 9, 5], np.uint64), known, probabilities).tolist() == [0.5, 0.9, 0.5]
    assert look_up(np.array([5, 10], np.uint64), known, probabilities) is None
    assert look_up(np.array([1], np.uint64), known[:0], probabilities[:0]) is None
    assert look_up(np.array([], np.uint64), known, probabilities).tolist() == []
