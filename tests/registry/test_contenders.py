from types import SimpleNamespace

import numpy as np
import pytest

from tasks.evaluation.scores import HeldOutScores, Scores, look_up, read_held_out, write_held_out
from tasks.registry.contenders import Contender, NotComparable
from tasks.texts.downloaded import Identities


def version(number: int, **tags: str) -> SimpleNamespace:
    """A version as MLflow's client returns it."""
    return SimpleNamespace(version=str(number), tags=tags)


def test_scores_are_kept_with_the_identities_of_their_texts(tmp_path):
    scores = Scores(np.array([0, 1, 1], np.int8), np.array([0.1, 0.6, 0.4], np.float32))
    held_out = HeldOutScores(scores, Identities(np.array([2**64 - 1, 5, 7], np.uint64), np.array([3], np.uint64)))
    write_held_out(tmp_path, held_out)
    again = read_held_out(tmp_path)
    assert again.reviews.tested.tolist() == [2**64 - 1, 5, 7]
    assert again.reviews.learnt.tolist() == [3]
    contender = Contender(version(4, threshold="0.5", trial="false", labels='["bad", "good"]'), again)
    assert contender.accuracy == pytest.approx(2 / 3)
    assert contender.labels == ["bad", "good"]
    assert contender.verdicts(scores.probabilities).tolist() == [0, 1, 0]
    assert contender.answers_as(["good", "so so", "bad"], scores.probabilities)[0].tolist() == [2, 0, 2]
    with pytest.raises(NotComparable, match=r"labels that no longer exist \(bad\)"):
        contender.answers_as(["poor", "good"], scores.probabilities)


def test_with_more_than_two_labels_the_most_probable_one_counts(tmp_path):
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], np.float32)
    held_out = HeldOutScores(
        Scores(np.array([0, 1], np.int8), probabilities), Identities(*np.array([[5, 7], [1, 2]], np.uint64))
    )
    write_held_out(tmp_path, held_out)
    contender = Contender(version(4, threshold="0.5", trial="false", labels='["a", "b", "c"]'), read_held_out(tmp_path))
    assert contender.accuracy == 0.5
    assert [its.tolist() for its in contender.answers_as(["c", "b", "a"], probabilities)] == [
        [2, 0],
        probabilities[:, ::-1].tolist(),
    ]
    cost = '[["c", "a", 1], ["a", "b", 9], ["a", "c", 9]]'
    careful = Contender(version(5, threshold="0.5", cost=cost, labels='["a", "b", "c"]'), contender.held_out)
    assert careful.verdicts(probabilities).tolist() == [1, 2], "the label with the lowest expected cost"
    again = look_up(
        np.array([7, 5], np.uint64), contender.held_out.reviews.tested, contender.held_out.scores.probabilities
    )
    assert again.tolist() == probabilities[::-1].tolist()
