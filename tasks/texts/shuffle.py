"""Shuffle: which rows of each split a run takes, and in which order."""

import numpy as np

# As Keras shuffles the first two; only data that brings its own has the third.
SHUFFLED = ("train", "test", "validation")


def shuffled_orders(rows: dict[str, int], seed: int, max_reviews: int | None) -> dict[str, np.ndarray]:
    """Return each split's first `max_reviews` row numbers in the order of keras.datasets.imdb.load_data.

    `rows` has the size of each split, in the order in which they are shuffled.
    """
    rng = np.random.RandomState(seed)
    orders = {}
    for split, count in rows.items():
        order = np.arange(count)
        rng.shuffle(order)
        orders[split] = order[:max_reviews]
    return orders
