import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.padded import bucket_lengths, cut_batch, plan_batches


def test_padded_length_is_the_next_multiple_of_32_up_to_maxlen():
    lengths = np.array([0, 1, 32, 33, 64, 200, 250], np.int32)
    assert bucket_lengths(lengths, 250).tolist() == [32, 32, 32, 64, 64, 224, 250]
    assert bucket_lengths(lengths, 250, bucketing=False).tolist() == [250] * 7
    assert bucket_lengths(np.array([3]), 20).tolist() == [20]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=200), st.integers(1, 40), st.booleans())
def test_every_row_is_in_one_batch_of_equal_padded_lengths(lengths, batch_size, shuffled):
    padded = bucket_lengths(np.array(lengths), 256)
    batches = plan_batches(padded, batch_size, np.random.default_rng(0) if shuffled else None)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(rows) <= batch_size and len(set(padded[rows])) == 1 for rows in batches)


def test_the_seed_determines_the_order_of_batches():
    padded = bucket_lengths(np.arange(200), 256)
    plans = [np.concatenate(plan_batches(padded, 16, np.random.default_rng(seed))) for seed in (1, 1, 2)]
    assert (plans[0] == plans[1]).all()
    assert (plans[0] != plans[2]).any()


def test_cutting_a_batch_removes_only_padding(rng):
    for padding in ("pre", "post"):
        lengths = np.minimum(rng.integers(1, 70, 50), 64)
        tokens = np.zeros((50, 64), np.uint16)
        for row, length in enumerate(lengths):
            tokens[row, slice(64 - length, 64) if padding == "pre" else slice(0, length)] = 7
        padded = bucket_lengths(lengths, 64)
        for rows in plan_batches(padded, 8):
            part = cut_batch(tokens, rows, padded[rows[0]], padding)
            assert part.dtype == np.int32
            assert part.shape == (len(rows), padded[rows[0]])
            assert (part.sum(1) == tokens[rows].sum(1)).all()
