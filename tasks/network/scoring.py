"""Scoring: reviews in batches of equal padded length, by whatever runs the network; and ONNX Runtime, which can."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

import numpy as np

from tasks.texts.length_buckets import bucket_lengths, cut_batch, plan_batches
from tasks.texts.padded import Padded

# ONNX Runtime is imported inside the functions that need it: others never pay for it.

NETWORK = "model.onnx"


class Score(Protocol):
    """A network ready to score."""

    def __call__(self, padded: Padded) -> np.ndarray:
        """Return the probabilities of each review, whatever stands beside it.

        They are (n,) float32 of label 1 where there are two labels, and (n, labels) where there are more.
        """


def score_in_buckets(
    padded: Padded, run: Callable[[np.ndarray], np.ndarray], batch_size: int, outputs: int, *, bucketing: bool
) -> np.ndarray:
    """Return the probabilities of each review: (n, outputs) float32.

    A thread a processor scores batches side by side: the steps through time of one batch leave processors idle.

    Args:
        padded: n reviews.
        run: scores a batch, (rows, length) int32, as (rows, outputs) or (rows,).
        batch_size: reviews a batch, at most.
        outputs: probabilities a review.
        bucketing: False pads all to maxlen.
    """
    lengths = bucket_lengths(padded.lengths, padded.tokens.shape[1], bucketing=bucketing)
    probabilities = np.empty((len(padded.labels), outputs), np.float32)

    def score_batch(rows: np.ndarray) -> None:
        tokens = cut_batch(padded.tokens, rows, lengths[rows[0]], padded.padding)
        probabilities[rows] = run(tokens).reshape(len(rows), outputs)

    # The longest first, so that no thread is left with a long one at the end.
    batches = plan_batches(lengths, batch_size)[::-1]
    if len(batches) == 1:
        score_batch(batches[0])
        return probabilities
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done in as_completed([threads.submit(score_batch, rows) for rows in batches]):
            done.result()
    return probabilities


class OnnxScorer:
    """A network in ONNX Runtime, which starts in a fraction of TensorFlow's time and memory."""

    def __init__(self, network: Path, labels: int, batch_size: int, *, bucketing: bool) -> None:
        """Load a network.

        Args:
            network: a file that `write_onnx` wrote.
            labels: how many it tells apart.
            batch_size: reviews a batch, at most.
            bucketing: False pads all to maxlen.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Batches go side by side, a thread each: to share each among threads too costs up to 1.7 times the time.
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it keeps the most that it ever had, and is no faster
        options.log_severity_level = 3  # it warns of processors that it cannot count, as in containers
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.outputs, self.batch_size, self.bucketing = 1 if labels == 2 else labels, batch_size, bucketing

    def run(self, tokens: np.ndarray) -> np.ndarray:
        """Return what the network gives a batch, (rows, length) int32."""
        found: np.ndarray = self.session.run(None, {"tokens": tokens})[0]
        return found

    def __call__(self, padded: Padded) -> np.ndarray:
        """Return the probabilities of each review, as `Score` says."""
        found = score_in_buckets(padded, self.run, self.batch_size, self.outputs, bucketing=self.bucketing)
        return found[:, 0] if self.outputs == 1 else found
