import datetime
import json

import numpy as np
import orjson
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.reading import read_batches
from tasks.texts.tables.writing import WRITERS, refuse_unwritable, writable_form

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
def test_texts_are_read_back_as_written(tmp_path, form):
    path = tmp_path / f"a{form}"
    table = TABLE.drop_columns("tags") if form == ".csv" else TABLE
    WRITERS[form](path, table.schema, [table, table.slice(1)])
    texts = [
        row["text"] for batch in read_batches(path, ReadOptions(columns={"text": ""})) for row in batch.to_pylist()
    ]
    assert texts == ['one, "two"\nthree', "größe", "", "größe", ""]


def test_json_lines_contain_native_values_and_null_for_nan(tmp_path):
    WRITERS[".jsonl"](tmp_path / "a", TABLE.schema, [TABLE])
    rows = [json.loads(line) for line in (tmp_path / "a").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == {"text": 'one, "two"\nthree', "n": 1, "x": 0.1, "when": "2026-01-31", "tags": ["a", "é"],
                       "made": {"a": [1]}}  # fmt: skip
    assert [row["x"] for row in rows] == [0.1, 0.5, None]
    assert [row["made"] for row in rows] == [{"a": [1]}, 7, None]


def test_csv_has_short_floats_and_mixed_values_as_json(tmp_path):
    table = TABLE.drop_columns("tags")
    WRITERS[".csv"](tmp_path / "a.csv", table.schema, [table])
    (batch,) = read_batches(tmp_path / "a.csv")
    rows = batch.to_pylist()
    assert [row["n"] for row in rows] == ["1", None, "-3"]
    assert [row["x"] for row in rows][:2] == ["0.1", "0.5"]
    assert rows[0]["made"] == '{"a": [1]}'
    assert rows[0]["when"] == "2026-01-31"


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def test_json_lines_are_strict_json_even_with_nested_nan_and_infinity(tmp_path):
    nan, infinity = float("nan"), float("inf")
    table = pa.table({"x": [nan, infinity, 0.1], "list": [[nan, 1.0], [], None], "tree": [{"a": {"b": -infinity}}] * 3})
    WRITERS[".jsonl"](tmp_path / "a.jsonl", table.schema, [table])
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    rows = [json.loads(line, parse_constant=refuse_constant) for line in lines]
    assert rows == [orjson.loads(line) for line in lines]
    assert rows[0] == {"x": None, "list": [None, 1.0], "tree": {"a": {"b": None}}}
    assert [row["x"] for row in rows] == [None, None, 0.1]


@pytest.mark.parametrize("form", WRITERS)
def test_another_library_reads_the_same_texts(tmp_path, form):
    texts = ['a "quoted", text\r\nof two lines', "", "Größe\x00\u2028", "\ufeffmark", "a\rb", "\t", "nan", '"']
    path = tmp_path / f"a{form}"
    table = pa.table({"text": texts, 'a "name"': range(len(texts)), "when": [datetime.time(1, 2)] * len(texts)})
    WRITERS[form](path, table.schema, [table])
    readers = {
        ".parquet": pandas.read_parquet,
        ".jsonl": lambda path: pandas.DataFrame(map(orjson.loads, path.read_bytes().strip().split(b"\n"))),
        ".csv": lambda path: pandas.read_csv(path, keep_default_na=False, engine="c", lineterminator="\n"),
    }
    found = readers[form](path)
    assert found["text"].tolist() == texts
    assert found['a "name"'].tolist() == list(range(len(texts)))


BYTES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2), pa.list_(pa.struct([("a", pa.binary())]))]
NESTED = [pa.list_(pa.int64()), pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.int64())]


@pytest.mark.parametrize(("form", "kinds"), [(".csv", BYTES + NESTED), (".jsonl", BYTES), (".parquet", [])])
def test_columns_that_a_format_cannot_hold_are_refused_by_name(tmp_path, form, kinds):
    for kind in BYTES + NESTED:
        schema = pa.schema([("text", pa.string()), ("raw", kind), ("n", pa.int64()), ("more", kind)])
        if kind not in kinds:
            refuse_unwritable(schema, form, tmp_path)
            continue
        with pytest.raises(
            InputError, match=rf"{form} cannot hold the columns 'raw' \(.*\), 'more' \(.*\); remove them"
        ):
            refuse_unwritable(schema, form, tmp_path)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "kind",
    [
        pa.large_string(),
        pa.string_view(),
        pa.decimal128(5, 2),
        pa.duration("s"),
        pa.timestamp("us", "UTC"),
        pa.float16(),
        pa.null(),
        pa.dictionary(pa.int32(), pa.int64()),
    ],
)
def test_columns_of_other_types_are_written_in_every_format(tmp_path, form, kind):
    table = pa.table({"text": ["x"], "other": pa.nulls(1, kind)})
    pq.write_table(table, tmp_path / "part.parquet")
    (batch,) = read_batches(tmp_path / "part.parquet")
    table = pa.Table.from_batches([batch])
    refuse_unwritable(table.schema, form, tmp_path)
    WRITERS[form](tmp_path / f"a{form}", table.schema, [table])
    (again,) = read_batches(tmp_path / f"a{form}")
    assert again.column("text").to_pylist() == ["x"]


def test_the_writable_format_is_none_for_other_extensions(tmp_path):
    names = ("a.CSV", "a.jsonl", "a.parquet", "a.tsv", "a.csv.gz", "a")
    assert [writable_form(tmp_path / name) for name in names] == [".csv", ".jsonl", ".parquet", None, None, None]
