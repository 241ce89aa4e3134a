"""Drift: how much the scored texts differ from those that the model was trained on."""

from pathlib import Path
from typing import NotRequired, cast

import numpy as np
from typing_extensions import TypedDict

from tasks.evaluation.metrics import bin_of
from tasks.evaluation.predictions import read_scores
from tasks.texts.encoded import read_words

SCORE_BINS, LENGTH_BINS = 10, 10
# The least share of an empty bin, because the index has a logarithm; of few texts it is half a text.
MIN_SHARE = 1e-4
# What may drift, and the counts of a profile that show it.
COUNTS = {"length": "lengths", "unknown words": "words", "score": "scores", "predicted label": "verdicts"}


class Profile(TypedDict):
    """Counts of texts.

    Attributes:
        length_edges: inner edges of the bins of words kept.
        lengths: texts in each bin.
        words: number of known and of unknown words.
        scores: texts in each tenth of the probability; with more than two labels, of the predicted label.
        verdicts: texts of each predicted label; only with more than two labels.
        no_known_words: texts without a known word; only of scored texts.
    """

    length_edges: list[float]
    lengths: list[int]
    words: list[int]
    scores: list[int]
    verdicts: NotRequired[list[int]]
    no_known_words: NotRequired[int]


def profile(lengths: np.ndarray, words: list[int], probabilities: np.ndarray, edges: list[float]) -> Profile:
    """Count n texts, given the (n,) words kept of each and (n,) or (n, labels) probabilities.

    `words` are the numbers of known and of unknown words, `edges` the inner edges of the bins of length.
    """
    shown = probabilities if probabilities.ndim == 1 else probabilities.max(axis=1)
    counted = Profile(
        length_edges=edges,
        lengths=np.bincount(np.searchsorted(edges, lengths, side="left"), minlength=len(edges) + 1).tolist(),
        words=words,
        scores=np.bincount(bin_of(shown, SCORE_BINS), minlength=SCORE_BINS).tolist(),
    )
    if probabilities.ndim == 2:
        labels = probabilities.shape[1]
        counted["verdicts"] = np.bincount(probabilities.argmax(axis=1), minlength=labels).tolist()
    return counted


def add(profiles: list[Profile]) -> Profile:
    """Return the sum of profiles with the same edges."""
    counts = {name: np.sum([profile[name] for profile in profiles], axis=0).tolist()  # type: ignore[literal-required]
              for name in profiles[0] if name != "length_edges"}  # fmt: skip
    return cast(Profile, {"length_edges": profiles[0]["length_edges"], **counts})


def reference_of(encoded: Path, scored: Path, lengths: np.ndarray) -> Profile:
    """Return the profile to compare with: lengths of the training texts, words and scores of the test texts.

    `lengths` are the words kept of each training text, (n,).

    Training texts would have too certain scores and too few unknown words. Each bin of length has a tenth of the
    training texts, as far as their lengths differ.
    """
    edges = np.unique(np.quantile(lengths, np.arange(1, LENGTH_BINS) / LENGTH_BINS)).tolist()
    found = read_words(encoded)["test"]
    scores = read_scores(scored, "test").probabilities
    return profile(lengths, [found["words"] - found["unknown"], found["unknown"]], scores, edges)


def stability_index(expected: list[int], found: list[int]) -> float:
    """Return the population stability index of two counts over the same bins.

    PSI = sum over bins of (f - e) * ln(f / e), with the shares f and e of each bin (Siddiqi, 2006, Credit Risk
    Scorecards: below 0.1 is stable, above 0.25 needs action).
    """
    sizes = max(sum(expected), 1), max(sum(found), 1)
    e, f = (
        np.maximum(np.array(counted) / size, max(MIN_SHARE, 0.5 / size))
        for counted, size in zip((expected, found), sizes, strict=True)
    )
    return float(((f - e) * np.log(f / e)).sum())


def measure_drift(reference: Profile, found: Profile) -> dict[str, float]:
    """Return the stability index of lengths, known and unknown words, scores, and predicted labels if counted."""
    return {
        name: stability_index(reference[counts], found[counts])  # type: ignore[literal-required]
        for name, counts in COUNTS.items()
        if counts in reference
    }


def sampling_noise(reference: Profile, found: Profile) -> dict[str, float]:
    """Return the index that two samples of one distribution have on average, for each index of `measure_drift`.

    It is (k - 1) (1/n + 1/m), with k bins and n and m texts (Yurdakul, Statistical properties of population stability
    index, 2018).
    """
    noise = {}
    for name, counts in COUNTS.items():
        if counts in reference:
            e, f = np.array(reference[counts]), np.array(found[counts])  # type: ignore[literal-required]
            bins = int(((e + f) > 0).sum())
            noise[name] = (bins - 1) * (1 / max(e.sum(), 1) + 1 / max(f.sum(), 1))
    return noise
