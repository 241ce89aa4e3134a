"""Writing: rows as Parquet, CSV or one JSON object per line."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tasks.texts.tables.folders import form_of

Write = Callable[[Path, pa.Schema, Iterable[pa.Table]], None]


def write_tables(path: Path, form: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables to one file, with one in memory at a time.

    Args:
        path: the file.
        form: an ending in `WRITERS`.
        schema: of every table; only Parquet keeps its metadata.
        tables: rows in order.
    """
    WRITERS[form](path, schema, tables)


def writable_form(path: Path) -> str | None:
    """Return the format that a file's name asks for, or None if it cannot be written."""
    form, compression = form_of(path)
    return form if form in WRITERS and compression is None else None


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write Parquet, at least one row group per table."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def write_csv(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write CSV with a header, in UTF-8; nested and binary values are written as JSON."""
    flat = pa.schema([field if is_flat(field.type) else pa.field(field.name, pa.string()) for field in schema])
    with pyarrow.csv.CSVWriter(path, flat) as writer:
        for table in tables:
            columns = [
                column
                if is_flat(column.type)
                else pa.array([to_json(value) for value in plain_values(column)], pa.string())
                for column in table.columns
            ]
            writer.write_table(pa.table(columns, schema=flat))


def write_json_lines(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write one JSON object per line, in UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for row in zip(*map(plain_values, table.columns), strict=True):
                file.write(f"{to_json(dict(zip(schema.names, row, strict=True)))}\n")


def is_flat(kind: pa.DataType) -> bool:
    """Return whether CSV can hold values of a type directly."""
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType))


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Return values for JSON: floats in the fewest digits, null for NaN and infinities, JSON columns parsed."""
    if isinstance(column.type, pa.JsonType):
        return [None if value is None else json.loads(value) for value in column.to_pylist()]
    if pa.types.is_floating(column.type):
        written = column.cast(pa.string()).to_pylist()
        return [None if value is None or not math.isfinite(float(value)) else float(value) for value in written]
    values: list[Any] = column.to_pylist()
    return values


def to_json(value: Any) -> str | None:
    """Return a value as JSON, or None; other objects, such as dates, are written as text."""
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


WRITERS: dict[str, Write] = {".parquet": write_parquet, ".csv": write_csv, ".jsonl": write_json_lines}
