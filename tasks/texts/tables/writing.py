"""Writing: tables, of which one is in memory at a time, as Parquet, CSV or one JSON object per line."""

import io
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tasks.core.errors import InputError
from tasks.texts.tables.json_objects import JSON, write_json
from tasks.texts.tables.table_files import form_of


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
    """Write CSV with a header, in UTF-8; values of mixed types, from JSON, are written as JSON."""
    plain = pa.schema([field.with_type(pa.string()) if field.type == JSON else field for field in schema])
    options = pyarrow.csv.WriteOptions(include_header=False)
    with path.open("wb") as file, pyarrow.csv.CSVWriter(file, plain, write_options=options) as writer:
        # Arrow's writer refuses names with quotes.
        file.write((",".join('"' + name.replace('"', '""') + '"' for name in schema.names) + "\n").encode())
        for table in tables:
            writer.write_table(table.cast(plain))


def write_json_lines(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write one JSON object per line, in UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for row in zip(*map(plain_values, table.columns), strict=True):
                file.write(f"{write_json(dict(zip(schema.names, row, strict=True)))}\n")


def refuse_unwritable(schema: pa.Schema, form: str, path: Path) -> None:
    """Refuse columns of `path` that a file of a form cannot hold.

    Raises:
        InputError: for CSV, columns are nested or hold bytes; for JSON, they hold bytes.
    """
    lost = [f"{field.name!r} ({field.type})" for field in schema if not can_hold(form, field.type)]
    if lost:
        raise InputError(
            f"{path}: {form} cannot hold the columns {', '.join(lost)}; remove them, or write Parquet: an --output "
            "that ends in .parquet"
        )


def can_hold(form: str, kind: pa.DataType) -> bool:
    """Return whether a file of a form can hold values of a type."""
    if form == ".csv":
        try:
            pyarrow.csv.write_csv(pa.table({"": pa.nulls(1, pa.string() if kind == JSON else kind)}), io.BytesIO())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
    return form == ".parquet" or not holds_bytes(kind)


def holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type are or contain bytes; by fields, because one may be named "binary"."""
    if pa.types.is_nested(kind):
        return any(holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return "binary" in str(kind)


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Return values for JSON: floats in the fewest digits, null for NaN and infinities, JSON columns parsed."""
    if isinstance(column.type, pa.JsonType):
        return [None if value is None else json.loads(value) for value in column.to_pylist()]
    if pa.types.is_floating(column.type):
        written = column.cast(pa.string()).to_pylist()
        return [None if value is None or not math.isfinite(float(value)) else float(value) for value in written]
    values: list[Any] = column.to_pylist()
    return values


WRITERS: dict[str, Callable[[Path, pa.Schema, Iterable[pa.Table]], None]] = {
    ".parquet": write_parquet,
    ".csv": write_csv,
    ".jsonl": write_json_lines,
}
