"""JSON: one object per line (.jsonl) or an array of objects (.json); keys may be missing and change their type."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.table_files import form_of
from tasks.texts.tables.text_decoding import MAX_ROW, Part, TextFile

PIECE = 1 << 20
SKIPPED = tuple(" \t\r\n,")  # between the items of an array
EXPECTED = "[{…}, …], or one object per line in a .jsonl file"
JSON = pa.json_(pa.string())


class LargeInt(int):
    """Stands for whole numbers that a float does not hold."""


# The first type whose kinds include all values of a column holds them unchanged.
TYPES: tuple[tuple[set[type], pa.DataType], ...] = (
    ({type(None), str}, pa.string()),
    ({type(None), bool}, pa.bool_()),
    ({type(None), int, LargeInt}, pa.int64()),
    ({type(None), int, float}, pa.float64()),
)
KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object",
         type(None): "null"}  # fmt: skip


def read_objects(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the objects of a file as rows.

    If columns are named, their values become text; numbers and booleans are written as in JSON. If all columns are
    read, the file is read twice: first to find a type for each column that holds all its values.

    Raises:
        InputError: a row is not a JSON object, or a named column holds an array or an object.
    """
    types = find_types(path, options) if options.columns is None else dict.fromkeys(options.columns, pa.string())
    first = 0
    with TextFile(path, options) as file:
        for part in file.parts(records(file)):
            if not first:
                options.require(list(dict.fromkeys(name for record in part for name in record)), path)
            columns = [make_column(file, name, kind, part, first) for name, kind in types.items()]
            yield pa.record_batch(columns, list(types)), file.share
            first += len(part)


def records(file: TextFile) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file, or refuse a row that is something else."""
    values = array_items(file) if form_of(file.path)[0] == ".json" else parsed_lines(file)
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise InputError(f"{file.path}: row {number:,} is {KINDS[type(value)]}, expected a JSON object")
        yield value


def parsed_lines(file: TextFile) -> Iterator[Any]:
    """Yield the value of each line that is not blank."""
    for number, line in enumerate(filter(str.strip, file.lines()), 1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.path}: row {number:,}: {error}; expected one JSON object per line") from error


def array_items(file: TextFile) -> Iterator[Any]:
    """Yield the items of a JSON array, with little more than one in memory."""
    decoder, text, at, number = json.JSONDecoder(), "", 0, 0
    while True:
        while text[at : at + 1] in SKIPPED:
            at += 1
        if at >= len(text) and (more := file.read(PIECE)):
            text, at = more, 0
        elif not number:
            if text[at : at + 1] != "[":
                raise InputError(f"{file.path}: is not a JSON array of objects; expected {EXPECTED}")
            at, number = at + 1, 1
        elif text[at : at + 1] == "]":
            return
        else:
            try:
                value, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                more = file.read(max(PIECE, len(text) - at)) if len(text) - at < MAX_ROW else ""
                if not more:
                    raise InputError(f"{file.path}: row {number:,} is cut off or is not JSON ({error})") from error
                text, at = text[at:] + more, 0
            else:
                yield value
                number += 1


def find_types(path: Path, options: ReadOptions) -> dict[str, pa.DataType]:
    """Return for every key a type that holds all its values unchanged, or JSON if there is none."""
    kinds: dict[str, set[type]] = {}
    with TextFile(path, options) as file:
        for record in records(file):
            for name, value in record.items():
                kinds.setdefault(name, set()).add(kind_of(value))
    types = {name: next((kind for held, kind in TYPES if seen <= held), JSON) for name, seen in kinds.items()}
    return types | {name: pa.string() for name in types if name == options.text_column}


def kind_of(value: Any) -> type:
    """Return the type of a value as in `TYPES`, object for a number beyond 64 bits."""
    if type(value) is not int or abs(value) <= 1 << 53:
        return type(value)
    return LargeInt if -(1 << 63) <= value < 1 << 63 else object


def make_column(file: TextFile, name: str, kind: pa.DataType, part: list[dict[str, Any]], first: int) -> pa.Array:
    """Return the values of one key as a column of type `kind`."""
    values = [record.get(name) for record in part]
    if kind not in (JSON, pa.string()):
        return pa.array(values, kind)
    accepted = (str,) if name == file.options.text_column else (str, bool, int, float)
    for row, value in enumerate(values if kind != JSON else (), first + 1):
        if value is not None and not isinstance(value, accepted):
            raise InputError(f"{file.path}: row {row:,} has {KINDS[type(value)]} in {name!r}, expected text")
    texts = [value if kind != JSON and isinstance(value, str) else write_json(value) for value in values]
    try:
        column = pa.array(texts, pa.string())
    except UnicodeEncodeError as error:
        raise InputError(
            f"{file.path}: row {first + texts.index(error.object) + 1:,}, {name!r}: holds half of a character (a \\u "
            "escape without its other half); write both halves"
        ) from None
    return pa.ExtensionArray.from_storage(JSON, column) if kind == JSON else column


def write_json(value: Any) -> str | None:
    """Return a value as strict JSON, None for None: NaN and infinities become null, dates and the like text."""
    if value is None:
        return None
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        strict = json.loads(json.dumps(value, default=str), parse_constant=lambda _name: None)
        return json.dumps(strict, ensure_ascii=False)
