import numpy as np
import pytest

from tasks.evaluation.drift import add, measure_drift, profile, reference_of, sampling_noise, stability_index
from tasks.evaluation.predictions import Scores, write_scores
from tasks.texts.encoded import write_words


def test_the_stability_index_matches_a_hand_calculation():
    expected = (0.5 - 0.25) * np.log(0.5 / 0.25) + (0.5 - 0.75) * np.log(0.5 / 0.75)
    assert stability_index([1, 3], [50, 50]) == pytest.approx(expected)
    assert stability_index([5, 5], [10, 10]) == 0
    assert np.isfinite(stability_index([10, 0], [0, 10]))


def test_a_profile_counts_every_text_once(padded, rng):
    whole = profile(padded.lengths, [7, 3], rng.random(len(padded.labels)), edges=[10.0, 20.0])
    assert sum(whole["lengths"]) == sum(whole["scores"]) == len(padded.labels)
    assert whole["lengths"][0] == (padded.lengths <= 10).sum()
    twice = add([whole, whole])
    assert twice["words"] == [14, 6]
    assert twice["lengths"] == [2 * count for count in whole["lengths"]]


def test_drift_is_zero_for_reference_texts_and_positive_for_shifted_ones(padded, tmp_path, rng):
    write_words(tmp_path, {"train": {"words": 80, "unknown": 0}, "test": {"words": 80, "unknown": 20}})
    (tmp_path / "scored").mkdir()
    scores = rng.random(len(padded.labels)).astype(np.float32)
    write_scores(tmp_path / "scored", "test", Scores(padded.labels, scores))
    reference = reference_of(tmp_path, tmp_path / "scored", padded.lengths)
    assert reference["words"] == [60, 20]
    same = profile(padded.lengths, [60, 20], scores, reference["length_edges"])
    assert measure_drift(reference, same) == {"length": 0, "unknown words": 0, "score": 0}
    moved = {"lengths": [*same["lengths"][:-1], sum(same["lengths"])], "words": [20, 60]}
    assert measure_drift(reference, same | moved)["length"] > 0.1
    assert measure_drift(reference, same | moved)["unknown words"] > 0.5


def test_predicted_labels_can_drift_without_score_drift(padded, rng):
    labels = len(padded.labels)
    even, moved = np.full((labels, 3), 0.2), np.full((labels, 3), 0.2)
    even[np.arange(labels), np.arange(labels) % 3] = 0.6
    moved[:, 0] = 0.6
    profiles = [profile(padded.lengths, [7, 3], scores, edges=[10.0]) for scores in (even, moved)]
    assert profiles[0]["verdicts"] == [labels // 3] * 3
    assert profiles[0]["scores"] == profiles[1]["scores"]
    assert add(profiles)["verdicts"][0] == labels + labels // 3
    found = measure_drift(*profiles)
    assert found["predicted label"] > 1
    assert found["score"] == 0


@pytest.mark.parametrize(("labels", "texts"), [(10, 1500), (100, 1500), (100, 300), (100, 200)])
def test_samples_of_one_distribution_differ_by_their_noise_on_average(rng, labels, texts):
    shares = rng.dirichlet(np.full(labels, 5))
    draws = [[rng.multinomial(count, shares).tolist() for count in (5000, texts)] for _ in range(100)]
    profiles = [
        [{"length_edges": [], "lengths": its, "words": [1, 1], "scores": [1]} for its in pair] for pair in draws
    ]
    found = np.mean([measure_drift(*pair)["length"] for pair in profiles])
    assert np.mean([sampling_noise(*pair)["length"] for pair in profiles]) == pytest.approx(found, rel=0.3)
