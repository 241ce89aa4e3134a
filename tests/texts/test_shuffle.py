import os

import pyarrow as pa
import pytest

import tasks.texts.shuffle
from tasks.texts.shuffle import reorder


@pytest.mark.parametrize("most", [None, 7])
@pytest.mark.parametrize("piles", [2, 3, 256])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_rows_are_reordered_in_parts_as_in_memory(tmp_path, monkeypatch, rng, most, piles, size):
    for name, value in (("ROWS_IN_MEMORY", 8), ("MAX_PILES", piles), ("WRITE_BYTES", size)):
        monkeypatch.setattr(tasks.texts.shuffle, name, value)
    lists = pa.array([rng.integers(1, 99, rng.integers(0, 9)).tolist() for _ in range(50)], pa.list_(pa.uint16()))
    order = rng.permutation(50)[:most]
    parts = list(reorder([lists.slice(start, 20) for start in (0, 20, 40)], order, tmp_path))
    assert [len(part) for part in parts] == ([8] * 6 + [2] if most is None else [7])
    assert pa.concat_arrays(parts).to_pylist() == lists.take(pa.array(order)).to_pylist()
    assert list(tmp_path.iterdir()) == []


def test_any_number_of_rows_is_sorted_with_few_open_files(tmp_path, monkeypatch, rng):
    import resource

    monkeypatch.setattr(tasks.texts.shuffle, "ROWS_IN_MEMORY", 1)
    lists = pa.array([[number] for number in range(600)], pa.list_(pa.uint16()))
    order = rng.permutation(600)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 300, hard))
    try:
        parts = list(reorder([lists], order, tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [part.to_pylist() for part in parts] == [[[number]] for number in order.tolist()]
