"""Text files: decompressing, decoding, cutting into lines and parts, and messages about wrong encodings."""

import codecs
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.folders import form_of

ROWS_PER_PART = 1024
CHARACTERS_PER_PART = 4 << 20
MAX_ROW = 16 << 20  # characters; JSON takes 20 times as many bytes as Python objects
BYTE_ORDER_MARK = "\ufeff"  # Excel writes it, whatever the encoding
WIDE_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
              (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
MAX_LATIN_SHARE = 0.3  # of bytes above 127 in text in Latin letters
SAMPLE = 1 << 16

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
        self.path, self.options, self._characters = path, options, 0
        self._size = max(path.stat().st_size, 1)
        self._raw = path.open("rb")
        compression = form_of(path)[1]
        binary = io.BufferedReader(pa.input_stream(self._raw, compression=compression) if compression else self._raw)
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
        number = 0
        while line := self._text.readline(MAX_ROW + 1):
            number += 1
            if len(line) > MAX_ROW:
                raise InputError(f"{self.path}: line {number} is longer than {MAX_ROW:,} characters")
            self._characters += len(line)
            yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line

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
            raise InputError(f"{place}: {explain_surrogate(values[row] or '', self.options)}") from None


def has_surrogate(text: str) -> bool:
    """Return whether a text holds a lone surrogate."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def explain_surrogate(text: str, options: ReadOptions) -> str:
    """Return what is wrong with a text that holds a lone surrogate, and what to do."""
    try:
        raw = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return "holds half of a character (a \\u escape without its other half); write both halves"
    guess = guess_encoding(raw)
    return (
        f"holds bytes that are not {options.encoding.upper()}; they are probably {guess}: give "
        f"{options.flags}encoding {guess}, or save the file as UTF-8"
    )


def guess_encoding(raw: bytes) -> str:
    """Return Python's name of the probable encoding of bytes that are not UTF-8.

    Text in Latin letters is almost always windows-1252; charset_normalizer guesses the rest.
    """
    raw = raw[:SAMPLE]
    if wide := wide_encoding(raw):
        return wide
    if sum(byte > 127 for byte in raw) <= MAX_LATIN_SHARE * len(raw):
        return "windows-1252"
    from charset_normalizer import from_bytes

    best = from_bytes(raw).best()
    return best.encoding if best else "windows-1252"


def wide_encoding(raw: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if bytes start with their mark, or if every second byte is 0."""
    for mark, name in WIDE_MARKS:
        if raw.startswith(mark):
            return name
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(raw) >= 4 and not any(raw[first:64:2]) and all(raw[1 - first : 64 : 2]):
            return name
    return None
