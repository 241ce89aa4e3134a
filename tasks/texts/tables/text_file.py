"""Opening a text file: decompressed, decoded and cut into lines, with the share of it that lies behind."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.folders import form_of
from tasks.texts.tables.read_options import CHARACTERS_PER_PART, MAX_ROW, ROWS_PER_PART, ReadOptions, wide_encoding

# A sheet of Excel's begins with this mark, whatever the encoding.
BYTE_ORDER_MARK = "\ufeff"

Row = TypeVar("Row")


class TextFile:
    """A text file that is read once, from its first character to its last.

    Bytes that cannot be decoded become lone surrogates: whoever makes a column of them knows the row, and says so.

    Attributes:
        path: of the file.
        taken: characters read so far.
    """

    def __init__(self, path: Path, options: ReadOptions, newline: str | None = None) -> None:
        """Open a file.

        Args:
            path: of the file; what its name says of compression is undone.
            wanted: the encoding.
            newline: as of `open`: None makes every line end "\\n", "" leaves them as they are.

        Raises:
            InputError: it begins as files of another encoding do.
        """
        self.path, self.taken = path, 0
        self._size = max(path.stat().st_size, 1)
        self._raw = path.open("rb")
        compression = form_of(path)[1]
        binary = io.BufferedReader(pa.input_stream(self._raw, compression=compression) if compression else self._raw)
        if options.encoding == "utf-8" and (wide := wide_encoding(binary.peek(64)[:64])):
            self._raw.close()
            raise InputError(f"{path}: is {wide.upper()}, not UTF-8; give {options.flags}encoding {wide}")
        self._text = io.TextIOWrapper(binary, options.encoding, errors="surrogateescape", newline=newline)

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close the file."""
        self._text.close()
        self._raw.close()

    @property
    def share(self) -> float:
        """The share of the file, from 0 to 1, that has been read."""
        return min(self._raw.tell() / self._size, 1.0)

    def read(self, characters: int) -> str:
        """Return at most so many characters; none at the end."""
        text = self._text.read(characters)
        if not self.taken:
            text = text.removeprefix(BYTE_ORDER_MARK)
        self.taken += len(text)
        return text

    def lines(self) -> Iterator[str]:
        """Yield line by line, each with its end, or refuse one that is too long."""
        number = 0
        while line := self._text.readline(MAX_ROW + 1):
            number += 1
            if len(line) > MAX_ROW:
                raise InputError(f"{self.path}: line {number} is longer than {MAX_ROW:,} characters")
            self.taken += len(line)
            yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line

    def parts(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """Yield what is made of the file in lists that take little memory."""
        waiting: list[Row] = []
        begun = self.taken
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS_PER_PART or self.taken - begun > CHARACTERS_PER_PART:
                yield waiting
                waiting, begun = [], self.taken
        if waiting:
            yield waiting
