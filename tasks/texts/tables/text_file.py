"""Text files: decompressing, decoding, cutting into lines and parts."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.encodings import explain_bytes, has_surrogate, open_binary, wide_encoding

ROWS_PER_PART = 1024
CHARACTERS_PER_PART = 4 << 20
MAX_ROW = 16 << 20  # characters; JSON takes 20 times as many bytes as Python objects
BYTE_ORDER_MARK = "\ufeff"  # Excel writes it, whatever the encoding

Part = tuple[pa.RecordBatch, float]  # rows, and the share of the file, from 0 to 1, read so far
Row = TypeVar("Row")


class TextFile:
    """A text file that is read once from start to end.

    Bytes that cannot be decoded become lone surrogates, which `column` refuses with their row.
    """

    def __init__(self, path: Path, options: ReadOptions, newline: str | None = None) -> None:
        """Open a file; `newline` is the argument of `open`.

        Raises:
            InputError: it starts like UTF-16 or UTF-32 but is read as UTF-8.
        """
        self.path, self.options, self._characters, self.line_number = path, options, 0, 0
        self._size = max(path.stat().st_size, 1)
        self._raw = path.open("rb")
        binary = open_binary(path, self._raw)
        if options.encoding == "utf-8" and (wide := wide_encoding(binary.peek(64)[:64])):
            self._raw.close()
            raise InputError(f"{path}: is {wide.upper()}, not UTF-8; give {options.flags}encoding {wide}")
        self._text = io.TextIOWrapper(binary, options.encoding, errors="surrogateescape", newline=newline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._text.close()
        self._raw.close()

    @property
    def share(self) -> float:
        """The share of the file, from 0 to 1, that has been read."""
        return min(self._raw.tell() / self._size, 1.0)

    def read(self, characters: int) -> str:
        """Return at most so many characters; "" at the end."""
        text = self._text.read(characters)
        if not self._characters:
            text = text.removeprefix(BYTE_ORDER_MARK)
        self._characters += len(text)
        return text

    def lines(self) -> Iterator[str]:
        """Yield the lines with their line ends."""
        while line := self._text.readline(MAX_ROW + 1):
            self.line_number += 1
            if len(line) > MAX_ROW:
                raise InputError(f"{self.path}: line {self.line_number} is longer than {MAX_ROW:,} characters")
            self._characters += len(line)
            yield line.removeprefix(BYTE_ORDER_MARK) if self.line_number == 1 else line

    def parts(self, rows: Iterable[Row]) -> Iterator[tuple[int, list[Row]]]:
        """Yield rows parsed from this file in small lists, each with the number of rows before it."""
        waiting: list[Row] = []
        count, start = 0, self._characters
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS_PER_PART or self._characters - start > CHARACTERS_PER_PART:
                yield count, waiting
                count, waiting, start = count + len(waiting), [], self._characters
        if waiting:
            yield count, waiting

    def column(self, name: str, values: Sequence[str | None], first: int) -> pa.Array:
        """Return strings read from this file, `first` rows after its start, as a column.

        Raises:
            InputError: a value holds undecodable bytes or half of a surrogate pair.
        """
        try:
            return pa.array(values, pa.string())
        except UnicodeEncodeError:
            row = next(row for row, value in enumerate(values) if value is not None and has_surrogate(value))
            place = f"{self.path}: row {first + row + 1:,}, {name!r}"
            options = self.options
            reason = explain_bytes(self.path, values[row] or "", options.encoding, options.flags)
            raise InputError(f"{place}: {reason}") from None
