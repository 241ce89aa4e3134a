"""A folder of text files: each is a row, and the folder's name is their label."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.table_files import check_readable
from tasks.texts.tables.text_decoding import CHARACTERS_PER_BATCH, MAX_ROW, ROWS_PER_BATCH, Part, explain_bytes

FILE_NAME = "\0file"  # the column of the files' names


def text_names(folder: Path) -> Iterator[str]:
    """Yield the names of a folder's text files, in no order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(".txt") and not entry.name.startswith(".") and entry.is_file():
                yield entry.name


def other_names(folder: Path) -> list[str]:
    """Return the names of what else a folder has, without hidden files."""
    return sorted(set(filter(lambda name: not name.startswith("."), os.listdir(folder))) - set(text_names(folder)))


def read_contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each text file, by name."""
    for name in sorted(text_names(folder)):
        path = folder / name
        check_readable(path)
        with path.open("rb", buffering=0) as file:
            content = file.read(min(os.fstat(file.fileno()).st_size, MAX_ROW) + 1)
        if len(content) > MAX_ROW:
            raise InputError(f"{path}: is longer than {MAX_ROW:,} bytes; expected one text")
        yield name, content


def hash_text_folder(folder: Path) -> str:
    """Return a hash of the names and contents of a folder's text files."""
    hashed = hashlib.sha256()
    for name, content in read_contents(folder):
        hashed.update(f"{name}\0{len(content)}\0".encode())
        hashed.update(content)
    return hashed.hexdigest()


def read_text_folder(folder: Path, options: ReadOptions) -> Iterator[Part]:
    """Yield the texts with their label and, in the column `FILE_NAME`, the names of their files."""
    columns = [options.text_column, options.label_column, FILE_NAME]
    options.require(columns[:2], folder)
    total, rows, size = sum(1 for _name in text_names(folder)), list[tuple[str, str, str]](), 0
    for number, (name, content) in enumerate(read_contents(folder), 1):
        try:
            text = content.decode("utf-8-sig" if options.encoding == "utf-8" else options.encoding)
        except UnicodeDecodeError as error:
            raise InputError(f"{folder / name}: {explain_bytes(folder / name, options)}") from error
        rows.append((text, folder.name, name))
        size += len(content)
        if number == total or len(rows) == ROWS_PER_BATCH or size > CHARACTERS_PER_BATCH:
            part = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
            yield pa.record_batch(part, columns), number / total
            rows, size = [], 0
