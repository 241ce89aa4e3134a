"""L-BFGS: minimise a smooth function of very many unknowns."""

from collections.abc import Callable

import numpy as np

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]

ARMIJO = 1e-4  # the share of the decrease that the gradient predicts, which a step must reach (Armijo 1966)
SHORTEST = 1e-6


def minimise(objective: Objective, start: np.ndarray, iterations: int, memory: int = 10) -> np.ndarray:
    """Minimise a smooth function by L-BFGS (Nocedal 1980) with backtracking, in the precision of `start`.

    SciPy's L-BFGS-B takes several times as long with a million unknowns: it supports bounds, in double precision.

    Args:
        objective: returns the function's value at a point, and its gradient.
        start: (unknowns,).
        iterations: number of steps.
        memory: steps kept for the curvature.

    Returns:
        (unknowns,), after all steps, or earlier if the precision is exhausted.
    """
    point = start
    value, gradient = objective(point)
    steps: list[tuple[np.ndarray, np.ndarray, float]] = []
    for _ in range(iterations):
        if not gradient.any():
            return point
        direction = descent_direction(gradient, steps)
        length, decrease = 1.0, gradient @ direction
        while True:
            candidate = point - point.dtype.type(length) * direction
            new_value, new_gradient = objective(candidate)
            if new_value <= value - ARMIJO * length * decrease:
                break
            length /= 2
            if length < SHORTEST:  # no lower value in a direction of descent: the precision is exhausted
                return point
        move, change = candidate - point, new_gradient - gradient
        if (curvature := float(move @ change)) > 0:
            steps = [*steps, (move, change, curvature)][-memory:]
        point, value, gradient = candidate, new_value, new_gradient
    return point


def descent_direction(gradient: np.ndarray, steps: list[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Return the gradient, scaled by the curvature that earlier steps measured (the two-loop recursion).

    `steps` are moves, changes of the gradient, and their products, the oldest first.
    """
    direction: np.ndarray = gradient.copy()
    if not steps:
        direction /= np.linalg.norm(gradient)
        return direction
    used = []
    for move, change, curvature in reversed(steps):
        used.append((move @ direction) / gradient.dtype.type(curvature))
        direction -= used[-1] * change
    _move, change, curvature = steps[-1]
    direction *= gradient.dtype.type(curvature) / (change @ change)
    for (move, change, curvature), share in zip(steps, reversed(used), strict=True):
        direction += (share - (change @ direction) / gradient.dtype.type(curvature)) * move
    return direction
