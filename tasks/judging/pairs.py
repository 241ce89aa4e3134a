"""Pairs: classifiers of the same reviews tested each against each, with p-values fit for how many tests that is."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.judging.metrics import compare


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values fit for the number of tests: all below alpha are right at once, but for a chance of alpha.

    Holm's step-down procedure (S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 6, 1979): of m p-values in rising order the i-th, from 0, is multiplied by m - i, is at least the one
    before, and at most 1. Unlike others, it asks nothing of how the tests depend on each other.

    Args:
        p_values: in any order.

    Returns:
        The adjusted p-values, in the same order.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def compare_pairs(labels: np.ndarray, verdicts: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return McNemar's exact test of each pair of classifiers.

    Args:
        labels: (n,) integers from 0.
        verdicts: (n,) of each classifier, by its name.

    Returns:
        For each pair "first", "second", what `compare` returns, and "adjusted", its p-value by `holm`.
    """
    pairs = [
        {"first": first, "second": second} | compare(labels, verdicts[first], verdicts[second])
        for first, second in itertools.combinations(verdicts, 2)
    ]
    adjusted = holm([pair["p_value"] for pair in pairs])
    return [pair | {"adjusted": p_value} for pair, p_value in zip(pairs, adjusted, strict=True)]
