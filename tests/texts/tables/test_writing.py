import datetime
import json

import numpy as np
import pyarrow as pa
import pytest

from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.reading import read_batches
from tasks.texts.tables.writing import WRITERS, writable_form, write_tables

TABLE = pa.table(
    {
        "text": ['one, "two"\nthree', "größe", ""],
        "n": pa.array([1, None, -3]),
        "x": pa.array(np.array([0.1, 0.5, np.nan], np.float32)),
        "when": [datetime.date(2026, 1, 31)] * 3,
        "tags": [["a", "é"], [], None],
        "made": pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(['{"a": [1]}', "7", None])),
    }
)


@pytest.mark.parametrize("form", WRITERS)
def test_rows_are_read_again_as_they_were_written(tmp_path, form):
    path = tmp_path / f"a{form}"
    write_tables(path, form, TABLE.schema, [TABLE, TABLE.slice(1)])
    texts = [
        row["text"] for batch in read_batches(path, ReadOptions(columns={"text": ""})) for row in batch.to_pylist()
    ]
    assert texts == ['one, "two"\nthree', "größe", "", "größe", ""]


def test_json_lines_hold_values_and_not_their_names(tmp_path):
    write_tables(tmp_path / "a", ".jsonl", TABLE.schema, [TABLE])
    rows = [json.loads(line) for line in (tmp_path / "a").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == {"text": 'one, "two"\nthree', "n": 1, "x": 0.1, "when": "2026-01-31", "tags": ["a", "é"],
                       "made": {"a": [1]}}  # fmt: skip
    assert [row["x"] for row in rows] == [0.1, 0.5, None]
    assert [row["made"] for row in rows] == [{"a": [1]}, 7, None]


def test_csv_holds_numbers_in_few_digits_and_the_rest_as_json(tmp_path):
    write_tables(tmp_path / "a.csv", ".csv", TABLE.schema, [TABLE])
    (batch,) = read_batches(tmp_path / "a.csv")
    rows = batch.to_pylist()
    assert [row["n"] for row in rows] == ["1", None, "-3"]
    assert [row["x"] for row in rows][:2] == ["0.1", "0.5"]
    assert [row["tags"] for row in rows] == ['["a", "é"]', "[]", None]
    assert rows[0]["made"] == '{"a": [1]}'
    assert rows[0]["when"] == "2026-01-31"


def test_a_form_that_is_not_written_is_none(tmp_path):
    names = ("a.CSV", "a.jsonl", "a.parquet", "a.tsv", "a.csv.gz", "a")
    assert [writable_form(tmp_path / name) for name in names] == [".csv", ".jsonl", ".parquet", None, None, None]
