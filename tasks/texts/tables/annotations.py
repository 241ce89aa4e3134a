"""Annotations: labels as fastText, Prodigy, spaCy and Hugging Face's datasets write them."""

import contextlib
import json
import re
from typing import Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.table_files import MARK

IGNORED = "\0ignored"  # stands for the label of a row that Prodigy's user ignored
MIN_SCORE = 0.5  # of a category that applies, as in spaCy


def split_label(line: str, where: str) -> tuple[str, str | None]:
    """Return the text and the label of a fastText line, without one None; `where` is for messages."""
    marked = re.fullmatch(rf"{MARK}([^ \t]*)[ \t]?(.*)", line, re.DOTALL)
    text, label = (marked[2], marked[1]) if marked else (line, None)
    if re.search(rf"(^|[ \t]){MARK}", text):
        raise InputError(f"{where} has several labels; expected one {MARK}, at the start of the line")
    return text, label


def annotated(record: dict[str, Any], column: str, where: str) -> dict[str, Any]:
    """Return a JSON object with the label that Prodigy (`answer`, `accept`) or spaCy (`cats`) says in `column`."""
    answer = record.get("answer") if column != "answer" else None
    if answer == "ignore":
        return record | {column: IGNORED}
    choices = record.get("cats", record.get("accept"))
    if column not in record and isinstance(choices, dict | list):
        scores = choices if isinstance(choices, dict) else dict.fromkeys(map(str, choices), 1)
        record = record | {column: chosen(scores, where)}
    if answer == "reject" and record.get(column) is not None:
        record = record | {column: f"not {record[column]}"}
    return record


def chosen(scores: dict[str, Any], where: str) -> str | None:
    """Return the category that applies; if the only one does not, "not" and its name; None if none of several does."""
    if others := [score for score in scores.values() if not isinstance(score, int | float)]:
        raise InputError(f"{where} has {others[0]!r} in 'cats', expected a number for each category")
    names = [name for name, score in scores.items() if score >= MIN_SCORE]
    if len(names) > 1:
        raise InputError(f"{where} has the labels {', '.join(map(repr, names))}; expected one for each text")
    return names[0] if names else f"not {next(iter(scores))}" if len(scores) == 1 else None


def class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the names of a ClassLabel of Hugging Face's datasets by number, [] for a column without them."""
    # The metadata is another program's: in any other form it says nothing about the column.
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return list(json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"])
    return []


def name_classes(batch: pa.RecordBatch, column: str, names: list[str]) -> pa.RecordBatch:
    """Return the batch with names in place of the numbers of a ClassLabel; -1 means unlabelled and stays."""
    values = [names[value] if value in range(len(names)) else value for value in batch.column(column).to_pylist()]
    labels = pa.array([None if value is None else str(value) for value in values], pa.string())
    return batch.set_column(batch.schema.get_field_index(column), column, labels)
