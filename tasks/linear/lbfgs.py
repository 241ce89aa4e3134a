"""Descent: minimise a smooth function of very many unknowns."""

from collections.abc import Callable

import numpy as np

Value = Callable[[np.ndarray], tuple[float, np.ndarray]]

STEEP_ENOUGH = 1e-4  # the share of the slope's promise that a step must keep (Armijo 1966)
SHORTEST = 1e-6


def minimise(value: Value, start: np.ndarray, iterations: int, memory: int = 10) -> np.ndarray:
    """Minimise a smooth function by L-BFGS (Nocedal 1980) with backtracking, in the precision of `start`.

    SciPy's L-BFGS-B takes several times as long with a million unknowns: it supports bounds, in double precision.

    Args:
        value: returns the function's value at a point, and its gradient.
        start: (unknowns,).
        iterations: number of steps.
        memory: steps kept for the curvature.

    Returns:
        (unknowns,), after all steps, or earlier if the precision is exhausted.
    """
    at = start
    height, slope = value(at)
    steps: list[tuple[np.ndarray, np.ndarray, float]] = []
    for _ in range(iterations):
        if not slope.any():
            return at
        direction = descent_direction(slope, steps)
        length, fall = 1.0, slope @ direction
        while True:
            there = at - at.dtype.type(length) * direction
            new_height, new_slope = value(there)
            if new_height <= height - STEEP_ENOUGH * length * fall:
                break
            length /= 2
            if length < SHORTEST:  # no lower place along a falling line: the precision is used up
                return at
        moved, turned = there - at, new_slope - slope
        if (curvature := float(moved @ turned)) > 0:
            steps = [*steps, (moved, turned, curvature)][-memory:]
        at, height, slope = there, new_height, new_slope
    return at


def descent_direction(slope: np.ndarray, steps: list[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Return the gradient, scaled by the curvature that earlier steps measured (the two-loop recursion).

    Args:
        slope: (unknowns,) gradient.
        steps: moves, changes of the gradient, and their products, the oldest first.
    """
    direction: np.ndarray = slope.copy()
    if not steps:
        direction /= np.linalg.norm(slope)
        return direction
    used = []
    for moved, turned, curvature in reversed(steps):
        used.append((moved @ direction) / slope.dtype.type(curvature))
        direction -= used[-1] * turned
    _moved, turned, curvature = steps[-1]
    direction *= slope.dtype.type(curvature) / (turned @ turned)
    for (moved, turned, curvature), share in zip(steps, reversed(used), strict=True):
        direction += (share - (turned @ direction) / slope.dtype.type(curvature)) * moved
    return direction
