import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from tasks.linear.naive_bayes import minimise


@pytest.mark.parametrize("memory", [3, 10])
def test_minimise_finds_the_minimum_of_the_rosenbrock_function(memory):
    lowest = minimise(lambda at: (rosen(at), rosen_der(at)), np.array([-1.2, 1.0, -0.5, 2.0]), 200, memory)
    np.testing.assert_allclose(lowest, 1, atol=1e-5)


def test_minimise_stays_in_float32_and_stops_once_it_converges():
    calls = []

    def value(at):
        calls.append(at.dtype)
        return float(((at - 3) ** 2).sum()), 2 * (at - 3)

    lowest = minimise(value, np.zeros(5, np.float32), 1000)
    assert lowest.dtype == np.float32
    np.testing.assert_allclose(lowest, 3, atol=1e-5)
    assert set(calls) == {np.dtype(np.float32)}
    assert len(calls) < 100
