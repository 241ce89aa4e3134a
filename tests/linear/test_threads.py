import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SCRIPT = """
import hashlib, sys
import numpy as np
from tasks.linear.naive_bayes import fix_threads
fix_threads()
values = np.random.default_rng(0).standard_normal((10_000, 75))
product = values[:, 1:].T @ values[:, 0]
print(hashlib.sha256(product.tobytes() + values.ravel().dot(values.ravel()).tobytes()).hexdigest())
"""


def test_linear_algebra_gives_the_same_bytes_with_any_number_of_threads():
    results = set()
    for threads in ("1", "2", "7"):
        limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True, timeout=60, check=True)
        results.add(done.stdout)
    assert len(results) == 1
