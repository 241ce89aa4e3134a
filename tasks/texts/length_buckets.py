"""Length buckets: all texts in a batch share one padded length, so no score depends on the rest of the batch."""

import numpy as np

BUCKET_WIDTH = 32


def bucket_lengths(lengths: np.ndarray, maxlen: int, *, bucketing: bool = True) -> np.ndarray:
    """Return the padded length of each text, (n,) int64: the next multiple of 32, at least 32, at most maxlen.

    Without bucketing all are maxlen.
    """
    if not bucketing:
        return np.full(len(lengths), maxlen, np.int64)
    rounded = -(-lengths.astype(np.int64) // BUCKET_WIDTH) * BUCKET_WIDTH
    return np.clip(rounded, min(BUCKET_WIDTH, maxlen), maxlen)


def plan_batches(
    padded_lengths: np.ndarray, batch_size: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Group rows of equal padded length into batches.

    Args:
        padded_lengths: (n,) of `bucket_lengths`.
        batch_size: rows per batch; the last of each length may have fewer.
        rng: shuffles the rows within each length, then the batches; None keeps the order.

    Returns:
        Arrays of row numbers, int64; each row is in exactly one.
    """
    batches: list[np.ndarray] = []
    for length in np.unique(padded_lengths):
        rows = np.flatnonzero(padded_lengths == length)
        if rng is not None:
            rng.shuffle(rows)
        batches.extend(rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    if rng is not None:
        rng.shuffle(batches)
    return batches


def count_batches(padded_lengths: np.ndarray, batch_size: int) -> int:
    """Return how many batches `plan_batches` makes."""
    _lengths, counts = np.unique(padded_lengths, return_counts=True)
    return int((-(-counts // batch_size)).sum())


def cut_batch(tokens: np.ndarray, rows: np.ndarray, length: int, padding: str) -> np.ndarray:
    """Return a batch's tokens, cut to its padded length: (rows, length) int32.

    Args:
        tokens: (n, maxlen) integers; 0 is padding.
        rows: (rows,) row numbers.
        length: the padded length of these rows.
        padding: the padded side, "pre" or "post".
    """
    maxlen = tokens.shape[1]
    columns = slice(maxlen - length, maxlen) if padding == "pre" else slice(0, length)
    return tokens[rows, columns].astype(np.int32)
