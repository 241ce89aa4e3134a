"""JSON: one object a line (.jsonl), or an array of objects (.json), whose keys may come, go and change their kind."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.folders import form_of
from tasks.texts.tables.read_options import MAX_ROW, Part, ReadOptions, strings
from tasks.texts.tables.text_file import TextFile

Record = dict[str, Any]

PIECE = 1 << 20
LARGEST = 1 << 63
SPACE = " \t\r\n"
JSON = pa.json_(pa.string())
# Which type holds values of these kinds as they are; the first that does.
TYPES: tuple[tuple[set[type], pa.DataType], ...] = (
    ({type(None), str}, pa.string()),
    ({type(None), bool}, pa.bool_()),
    ({type(None), int}, pa.int64()),
    ({type(None), int, float}, pa.float64()),
)
# What to call a value in a message.
KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object",
         type(None): "null"}  # fmt: skip


def read_objects(path: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the objects of a file as rows.

    Of named columns, values are text: numbers and truths as JSON writes them. Where all columns are wanted, the file is
    read twice: first for the type that holds every value of a column as it is.

    Raises:
        InputError: a line or an item is no JSON object, or one of the named columns holds an array or an object.
    """
    types = find_types(path, options) if options.columns is None else dict.fromkeys(options.columns, pa.string())
    first = 0
    with TextFile(path, options) as file:
        for part in file.parts(records(file)):
            if not first:
                options.require(list(dict.fromkeys(name for record in part for name in record)), path)
            columns = [make_column(part, name, kind, path, first, options) for name, kind in types.items()]
            yield pa.record_batch(columns, list(types)), file.share
            first += len(part)


def records(file: TextFile) -> Iterator[Record]:
    """Yield the objects of a file."""
    found = items(file) if form_of(file.path)[0] == ".json" else parsed_lines(file)
    for number, value in enumerate(found, 1):
        if not isinstance(value, dict):
            raise InputError(f"{file.path}: row {number:,} is {KINDS[type(value)]}, expected a JSON object")
        yield value


def parsed_lines(file: TextFile) -> Iterator[Any]:
    """Yield the value of each line that is not blank."""
    number = 0
    for line in file.lines():
        if not line.strip():
            continue
        number += 1
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.path}: row {number:,}: {error}; expected one JSON object a line") from error


def items(file: TextFile) -> Iterator[Record]:
    """Yield the objects of a JSON array, with little more than one of them in memory."""
    wrong = f"{file.path}: is no JSON array of objects; expected [{{…}}, …], or one object a line in a .jsonl file"
    decoder, number = json.JSONDecoder(), 0
    text, at = next_item(file, "", 0, SPACE)
    if text[at : at + 1] != "[":
        raise InputError(wrong)
    at += 1
    while True:
        text, at = next_item(file, text, at, SPACE + ",")
        if text[at : at + 1] == "]":
            return
        number += 1
        if text[at : at + 1] not in ("{", ""):
            raise InputError(f"{wrong}; row {number:,} is something else")
        while True:
            try:
                value, at = decoder.raw_decode(text, at)
                break
            except (ValueError, RecursionError) as error:
                more = file.read(max(PIECE, len(text) - at)) if len(text) - at < MAX_ROW else ""
                if not more:
                    raise InputError(f"{file.path}: row {number:,} breaks off or is no JSON ({error})") from error
                text, at = text[at:] + more, 0
        yield value


def next_item(file: TextFile, text: str, at: int, passed_over: str) -> tuple[str, int]:
    """Return what has been read of a file, and the first place from `at` on where none of the characters stands."""
    while True:
        while at < len(text) and text[at] in passed_over:
            at += 1
        if at < len(text) or not (more := file.read(PIECE)):
            return text, at
        text, at = more, 0


def find_types(path: Path, options: ReadOptions) -> dict[str, pa.DataType]:
    """Return for every key of a file the type that holds its values as they are; JSON where no other does."""
    kinds: dict[str, set[type]] = {}
    with TextFile(path, options) as file:
        for record in records(file):
            for name, value in record.items():
                is_large = isinstance(value, int) and not -LARGEST <= value < LARGEST
                kinds.setdefault(name, set()).add(object if is_large else type(value))
    types = {name: next((kind for held, kind in TYPES if seen <= held), JSON) for name, seen in kinds.items()}
    return types | {name: pa.string() for name in types if name == options.text_column}


def make_column(
    part: list[Record], name: str, kind: pa.DataType, path: Path, first: int, options: ReadOptions
) -> pa.Array:
    """Return the values of one key as a column of a type."""
    values = [record.get(name) for record in part]
    if kind == JSON:
        written = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        return pa.ExtensionArray.from_storage(JSON, strings(written, path, name, first, options))
    if kind != pa.string():
        return pa.array(values, kind)
    accepted = (str,) if name == options.text_column else (str, bool, int, float)
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, accepted):
            raise InputError(f"{path}: row {first + row + 1:,} has {KINDS[type(value)]} in {name!r}, expected text")
    as_text = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return strings(as_text, path, name, first, options)
