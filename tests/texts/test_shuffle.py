import tempfile

import pyarrow as pa
import pytest

import tasks.texts.shuffle
from tasks.texts.shuffle import reorder


@pytest.mark.parametrize("most", [None, 7, 0])
@pytest.mark.parametrize("kind", [pa.uint16(), pa.int32()])
@pytest.mark.parametrize("longest", [9, 1])
def test_reordering_in_parts_equals_reordering_in_memory(tmp_path, monkeypatch, rng, most, kind, longest):
    monkeypatch.setattr(tasks.texts.shuffle, "ROWS_IN_MEMORY", 8)
    lists = pa.array([rng.integers(1, 99, rng.integers(0, longest)).tolist() for _ in range(50)], pa.list_(kind))
    order = rng.permutation(50)[:most]
    given = [lists.slice(start, rows) for start, rows in ((0, 20), (20, 0), (20, 20), (40, 20))]
    with tempfile.TemporaryFile(dir=tmp_path) as scratch:
        parts = list(reorder(given, scratch)(order))
    assert [len(part) for part in parts] == {None: [8] * 6 + [2], 7: [7], 0: []}[most]
    assert [row for part in parts for row in part.to_pylist()] == lists.take(pa.array(order)).to_pylist()
    assert all(part.type == lists.type for part in parts)
    assert list(tmp_path.iterdir()) == []
