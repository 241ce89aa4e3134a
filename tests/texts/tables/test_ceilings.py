"""Ceilings on the memory and time for reading a file, independent of its shape."""

import csv
import json
import time
import tracemalloc

import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.texts.tables.reading import read_batches

MB = 1 << 20
FORMS = (".csv", ".jsonl", ".json")


def write(path, rows: list[dict[str, str]]) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        elif path.suffix == ".json":
            json.dump(rows, file)
        else:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return path.stat().st_size


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(form=".json", size=MB, columns=1, length=1, character="x")  # 50,000 rows
@example(form=".jsonl", size=MB, columns=300, length=1, character="x")
@example(form=".csv", size=MB, columns=1, length=MB, character='"')  # one field
@example(form=".csv", size=MB, columns=1, length=9, character="\n")
@given(
    form=st.sampled_from(FORMS),
    size=st.integers(1, MB),
    columns=st.integers(1, 300),
    length=st.sampled_from([0, 1, 30, 1000, MB]),
    character=st.sampled_from('x"\n,\\\u00e9\U0001f600'),
)
def test_a_file_of_a_megabyte_is_read_within_48_mb_and_8_seconds(tmp_path, form, size, columns, length, character):
    names = ["text", *(f"c{column}" for column in range(1, columns))]
    row = dict.fromkeys(names, character * min(length, size // columns))
    rows = [row] * max(1, size // (20 * columns + sum(map(len, row.values()))))
    path = tmp_path / f"a{form}"
    written = write(path, rows)
    assert written < 20 * MB
    pool, read, started = pa.default_memory_pool(), 0, time.process_time()
    held = pool.bytes_allocated()
    tracemalloc.start()
    try:
        for batch in read_batches(path):
            read += len(batch)
            assert pool.bytes_allocated() - held < 48 * MB
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == len(rows)
    assert memory < 48 * MB
    assert time.process_time() - started < 8
