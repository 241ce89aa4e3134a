from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.texts.tables import reading
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.reading import read_batches

MB = 1 << 20


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(characters=1_000_000, rows=2048, in_dictionary=True)
@given(characters=st.integers(0, MB), rows=st.integers(1, 200), in_dictionary=st.booleans())
def test_memory_is_bounded_even_if_a_file_decodes_to_gigabytes(tmp_path, characters, rows, in_dictionary):
    values = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * characters]))
    texts = values if in_dictionary else values.dictionary_decode()
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", use_dictionary=in_dictionary)
    del texts
    pool = pa.default_memory_pool()
    before, held = pool.max_memory(), pool.bytes_allocated()
    read = 0
    for batch in read_batches(path, ReadOptions()):
        read += len(batch)
        assert pc.all(pc.equal(pc.binary_length(batch["text"]), characters)).as_py()
    assert read == rows
    # Measured on the first example, which decodes to 2 GB: 370 MB.
    assert pool.max_memory() <= max(before, held + 400 * MB)


@pytest.mark.parametrize("column", [pa.array([[7] * MB]), pa.array(["x" * (2 * MB)])], ids=["list", "text"])
def test_a_too_large_value_is_refused_with_its_file_and_column(tmp_path, monkeypatch, column):
    monkeypatch.setattr(reading, "MAX_VALUE_BYTES", MB)
    pq.write_table(pa.table({"text": ["a"], "more": column}), tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < MB / 100
    with pytest.raises(InputError, match=r"a.parquet: the column 'more.*' decodes to \d+,\d+,\d+ bytes in a row"):
        next(read_batches(tmp_path / "a.parquet"))
    assert next(read_batches(tmp_path / "a.parquet", ReadOptions(columns={"text": "--text-column"}))).num_rows == 1


@pytest.mark.parametrize(("column", "rows"), [("text", 9000), ("label", 3)])
def test_text_that_is_not_utf_8_is_refused_with_its_row_and_column(tmp_path, column, rows):
    raw = pa.array([None, *[b"fine"] * (rows - 2), b"caf\xe9"], pa.binary())
    columns = {
        "text": ["a"] * rows,
        "label": ["1"] * rows,
        column: pa.Array.from_buffers(pa.string(), rows, raw.buffers()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"a.parquet: row {rows:,} has bytes in '{column}' that are not UTF-8"):
        list(read_batches(tmp_path / "a.parquet", ReadOptions(columns={"text": "", "label": ""})))


def test_times_that_spark_wrote_are_read_beyond_the_year_2262(tmp_path):
    table = pa.table({"text": ["a"], "valid_to": [datetime(9999, 12, 31)]})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    (batch,) = read_batches(tmp_path / "a.parquet", ReadOptions())
    assert batch["valid_to"].to_pylist() == [datetime(9999, 12, 31)]
