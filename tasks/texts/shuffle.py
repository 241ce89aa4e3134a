"""Order: which rows a run takes of each split, and in which order."""

import numpy as np

# As Keras shuffles the first two; only data that brings its own has the third.
SHUFFLED = ("train", "test", "validation")


def shuffled_orders(rows: dict[str, int], seed: int, max_reviews: int | None) -> dict[str, np.ndarray]:
    """Return which rows each split has, in the order of keras.datasets.imdb.load_data, the first `max_reviews` only.

    Args:
        rows: how many reviews each split has, in the order in which they are shuffled.
        seed: of both shuffles.
        max_reviews: how many are kept of each; None keeps all.
    """
    rng = np.random.RandomState(seed)
    orders = {}
    for split, count in rows.items():
        order = np.arange(count)
        rng.shuffle(order)
        orders[split] = order[:max_reviews]
    return orders
