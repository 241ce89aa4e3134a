"""Text files: decompressing, decoding, cutting into lines and parts; and which encoding reads the whole file."""

import codecs
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

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
MAX_VALID_SHARE = 0.1  # of UTF-8 characters that text in another encoding holds by chance
SAMPLE = 1 << 16
CHUNK = 1 << 20

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
            raise InputError(f"{place}: {explain_bytes(self.path, values[row] or '', self.options)}") from None


def open_binary(path: Path, raw: BinaryIO) -> io.BufferedReader:
    """Return a stream of a file's decompressed bytes; `raw` is the open file."""
    compression = form_of(path)[1]
    return io.BufferedReader(pa.input_stream(raw, compression=compression) if compression else raw)  # type: ignore[arg-type]


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield a file's decompressed bytes, and none at its end."""
    with path.open("rb") as raw, open_binary(path, raw) as binary:
        while chunk := binary.read(CHUNK):
            yield chunk
    yield b""


def explain_bytes(path: Path, text: str, options: ReadOptions) -> str:
    """Return what is wrong with a file's text that holds a lone surrogate, as it was read, and what to do."""
    encoding, flags = options.encoding, options.flags
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return "holds half of a character (a \\u escape without its other half); write both halves"
    place = find_undecodable(path, encoding)
    where = f"holds bytes that are not {encoding.upper()}, first at byte {place.offset:,} (line {place.line:,})"
    if encoding != "utf-8":
        return f"{where}; give the right {flags}encoding, or save the file as UTF-8"
    if place.at_end:
        return f"{where}: the file ends within a character, as if it was cut off; get the whole file"
    if place.is_utf8_otherwise:
        return f"{where}, and other characters are UTF-8: fix these bytes; no single encoding reads the whole file"
    if decodes(path, "utf-8", "surrogatepass"):
        return f"{where}: characters are written as two halves (CESU-8, as by some databases); save the file as UTF-8"
    if guess := probable_encoding(path, place.offset):
        return f"{where}; they are probably {guess}: give {flags}encoding {guess}, or save the file as UTF-8"
    return f"{where}; fix these bytes, or give the file's {flags}encoding"


@dataclass(frozen=True)
class Undecodable:
    """Where a file cannot be decoded.

    Attributes:
        offset: of the first such byte, from 0.
        line: of that byte, from 1.
        at_end: only the last bytes cannot be decoded, as they start a UTF-8 character.
        is_utf8_otherwise: other characters are UTF-8, too many for chance.
    """

    offset: int
    line: int
    at_end: bool
    is_utf8_otherwise: bool


def find_undecodable(path: Path, encoding: str) -> Undecodable:
    """Read a file to its end, and return where it cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    offset, line, size, lines, valid, invalid, end = -1, 0, 0, 1, 0, 0, ""
    for chunk in chunks_of(path):
        text = decoder.decode(chunk, final=not chunk)
        special = [] if text.isascii() else [at for at, character in enumerate(text) if character > "\x7f"]
        bad = [at for at in special if has_surrogate(text[at])]
        if bad and offset < 0:
            before = text[: bad[0]]
            offset, line = size + len(before.encode(encoding)), lines + before.count("\n")
        size += len(text.encode(encoding, "surrogateescape"))
        lines += text.count("\n")
        valid, invalid, end = valid + len(special) - len(bad), invalid + len(bad), (end + text)[-3:]
    at_end = encoding == "utf-8" and offset == size - invalid and starts_character(end[-invalid:])
    return Undecodable(offset, line, at_end, valid > MAX_VALID_SHARE * invalid)


def has_surrogate(text: str) -> bool:
    """Return whether a text holds a lone surrogate."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def starts_character(text: str) -> bool:
    """Return whether undecodable bytes are the start of a UTF-8 character."""
    try:
        text.encode(errors="surrogateescape").decode()
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return False


def probable_encoding(path: Path, offset: int) -> str | None:
    """Return Python's name of an encoding that decodes the whole file to sensible text, or None.

    `offset` is where it is not UTF-8.
    """
    with path.open("rb") as raw, open_binary(path, raw) as binary:
        binary.read(max(0, offset - SAMPLE // 2))
        sample = binary.read(SAMPLE)
    guess = guess_encoding(sample)
    return guess if guess and decodes(path, guess) else None


def decodes(path: Path, encoding: str, errors: str = "strict") -> bool:
    """Return whether a whole file decodes."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        for chunk in chunks_of(path):
            decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError:
        return False
    return True


def guess_encoding(raw: bytes) -> str | None:
    """Return Python's name of the probable encoding of bytes that are not UTF-8, or None.

    Text in Latin letters is almost always windows-1252; charset_normalizer guesses the rest.
    """
    if wide := wide_encoding(raw):
        return wide
    lines = [line for line in raw.splitlines() if not line.isascii()] or [raw]
    if sum(byte > 127 for byte in raw) <= MAX_LATIN_SHARE * sum(map(len, lines)):
        return "windows-1252"
    from charset_normalizer import from_bytes

    best = from_bytes(raw).best()
    return best.encoding if best else None


def wide_encoding(raw: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if bytes start with their mark, or if every second byte is 0."""
    for mark, name in WIDE_MARKS:
        if raw.startswith(mark):
            return name
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(raw) >= 4 and not any(raw[first:64:2]) and all(raw[1 - first : 64 : 2]):
            return name
    return None
