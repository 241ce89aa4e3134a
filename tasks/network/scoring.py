"""Scoring: texts in batches of equal padded length, by ONNX Runtime."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.texts.padded import Padded, bucket_lengths, cut_batch, plan_batches

NETWORK = "model.onnx"


@dataclass
class Scorer:
    """A network ready to score padded texts; a text's score does not depend on the batch size or the other texts.

    Attributes:
        run: (rows, length) int32 -> (rows, outputs) or (rows,) float32; called by several threads.
        outputs: probabilities per text: 1 for two labels.
        batch_size: texts per batch, at most.
        bucketing: False pads all texts to maxlen.
    """

    run: Callable[[np.ndarray], np.ndarray]
    outputs: int
    batch_size: int
    bucketing: bool

    def __call__(self, padded: Padded) -> np.ndarray:
        """Return the probabilities of n texts: (n,) float32 of label 1 of two, (n, labels) float32 with more labels.

        One thread per processor scores batches, because the time steps of a single batch leave processors idle.
        """
        lengths = bucket_lengths(padded.lengths, padded.tokens.shape[1], bucketing=self.bucketing)
        probabilities = np.empty((len(padded.labels), self.outputs), np.float32)

        def score_batch(rows: np.ndarray) -> None:
            tokens = cut_batch(padded.tokens, rows, lengths[rows[0]], padded.padding)
            probabilities[rows] = self.run(tokens).reshape(len(rows), self.outputs)

        # The longest first, so that no thread ends with a long one.
        batches = plan_batches(lengths, self.batch_size)[::-1]
        if len(batches) == 1:
            score_batch(batches[0])
        else:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                for done in as_completed([threads.submit(score_batch, rows) for rows in batches]):
                    done.result()
        return probabilities[:, 0] if self.outputs == 1 else probabilities


def onnx_scorer(network: Path, labels: int, batch_size: int, *, bucketing: bool, keep_memory: bool = False) -> Scorer:
    """Load a file from `write_network` into ONNX Runtime, which takes a fraction of TensorFlow's time and memory.

    `keep_memory` is for many texts in a process that has trained a network: there, the C library returns the memory of
    each batch to the system, and to take it again lengthens scoring by 80%.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()

    options = onnxruntime.SessionOptions()
    # One thread per batch: sharing each batch among threads takes up to 1.7 times as long.
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = keep_memory  # until the session ends, which a service's does not
    options.log_severity_level = 3  # it warns if it cannot count the processors, as in containers
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    def run(tokens: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {"tokens": tokens})[0])

    return Scorer(run, 1 if labels == 2 else labels, batch_size, bucketing)
