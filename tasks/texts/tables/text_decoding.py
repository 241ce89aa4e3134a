"""Decoding text files: decompressing, decoding, cutting into lines and parts; and why one cannot be decoded."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.table_files import form_of

ROWS_PER_BATCH = 8192
CHARACTERS_PER_BATCH = 4 << 20
MAX_ROW = 16 << 20  # characters; JSON takes 20 times as many bytes as Python objects
WIDE_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
              (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
MAX_LATIN_SHARE = 0.3  # of bytes above 127 in text in Latin letters
MAX_VALID_SHARE = 0.1  # of UTF-8 characters that text in another encoding holds by chance
SAMPLE = 1 << 16
CHUNK = 1 << 20

Part = tuple[pa.RecordBatch, float]  # rows, and the share of the file, from 0 to 1, read so far
Row = TypeVar("Row")


class TextFile:
    """A text file that is read once from start to end; reading raises UnicodeDecodeError if it cannot be decoded."""

    def __init__(self, path: Path, options: ReadOptions, newline: str | None = None) -> None:
        """Open a file; `newline` is the argument of `open`.

        Raises:
            InputError: it starts like UTF-16 or UTF-32 but is read as UTF-8.
        """
        self.path, self.options, self._characters, self.line_number = path, options, 0, 0
        self._size = max(path.stat().st_size, 1)
        self._raw = path.open("rb")
        binary, encoding = open_binary(path, self._raw), options.encoding
        if encoding == "utf-8":
            encoding = "utf-8-sig"  # Excel writes a byte-order mark
            if wide := wide_encoding(binary.peek(64)[:64]):
                self._raw.close()
                raise InputError(f"{path}: is {wide.upper()}, not UTF-8; {advise_encoding(wide, options)}")
        self._text = io.TextIOWrapper(binary, encoding, newline=newline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._text.close()
        self._raw.close()

    @property
    def share(self) -> float:
        """The share of the file, from 0 to 1, that has been read."""
        return min(self._raw.tell() / self._size, 1.0)

    def read(self, characters: int) -> str:
        """Return at most so many characters; "" at the end."""
        text = self._text.read(characters)
        self._characters += len(text)
        return text

    def lines(self, seen: list[str] | None = None) -> Iterator[str]:
        """Yield the lines with their line ends, and append each to `seen`."""
        while line := self._text.readline(MAX_ROW + 1):
            self.line_number += 1
            if len(line) > MAX_ROW:
                raise InputError(f"{self.path}: line {self.line_number} is longer than {MAX_ROW:,} characters")
            self._characters += len(line)
            if seen is not None:
                seen.append(line)
            yield line

    def parts(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """Yield rows parsed from this file in lists of at most 8,192, or fewer if they are long."""
        waiting: list[Row] = []
        start = self._characters
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS_PER_BATCH or self._characters - start > CHARACTERS_PER_BATCH:
                yield waiting
                waiting, start = [], self._characters
        if waiting:
            yield waiting


def open_binary(path: Path, raw: BinaryIO) -> io.BufferedReader:
    """Return a stream of a file's decompressed bytes; `raw` is the open file."""
    compression = form_of(path)[1]
    return io.BufferedReader(pa.input_stream(raw, compression=compression) if compression else raw)  # type: ignore[arg-type]


def advise_encoding(encoding: str, options: ReadOptions) -> str:
    """Return what to do with a file that is not UTF-8, for a message."""
    return f"give {options.flags}encoding {encoding}, or save the file as UTF-8"


def explain_bytes(path: Path, options: ReadOptions) -> str:
    """Return where a file cannot be decoded, why, and what to do."""
    encoding = options.encoding
    offset, line, at_end, sample = find_undecodable(path, encoding) or (0, 1, False, b"")
    where = f"holds bytes that are not {encoding.upper()}, first at byte {offset:,} (line {line:,})"
    if encoding != "utf-8":
        return f"{where}; give the right {options.flags}encoding, or save the file as UTF-8"
    if at_end:
        return f"{where}: the file ends within a character, as if it was cut off; get the whole file"
    text = sample.decode("utf-8", "surrogateescape")
    invalid, valid = (len(re.findall(kind, text)) for kind in ("[\udc80-\udcff]", "[^\0-\x7f\udc80-\udcff]"))
    if valid > MAX_VALID_SHARE * invalid:
        return f"{where}, and other characters are UTF-8: fix these bytes; no single encoding reads the whole file"
    if not find_undecodable(path, "utf-8", "surrogatepass"):
        return f"{where}: characters are written as two halves (CESU-8, as by some databases); save the file as UTF-8"
    if (guess := guess_encoding(sample)) and not find_undecodable(path, guess):
        return f"{where}; they are probably {guess}: {advise_encoding(guess, options)}"
    return f"{where}; fix these bytes, or {advise_encoding('NAME', options)}"


def find_undecodable(path: Path, encoding: str, errors: str = "strict") -> tuple[int, int, bool, bytes] | None:
    """Return the place, from 0, of the first byte that cannot be decoded, its line, and whether UTF-8 ends too early.

    The bytes near it are last. None if the whole file can be decoded; `errors` is the decoder's.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    size, line = 0, 1
    with path.open("rb") as raw, open_binary(path, raw) as binary:
        while True:
            chunk, state = binary.read(CHUNK), decoder.getstate()
            try:
                line += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                start = error.start - (len(error.object) - len(chunk))  # below 0 if the last chunk begins the character
                decoder.setstate(state)
                line += decoder.decode(chunk[: max(start, 0)]).count("\n")
                sample = error.object[max(0, error.start - SAMPLE // 2) :][:SAMPLE]
                return size + start, line, error.reason == "unexpected end of data", sample
            if not chunk:
                return None
            size += len(chunk)


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
    marked = next((name for mark, name in WIDE_MARKS if raw.startswith(mark)), None)
    even, odd = raw[:64:2], raw[1:64:2]
    if marked or len(raw) < 4:
        return marked
    if all(even) and not any(odd):
        return "utf-16-le"
    return "utf-16-be" if all(odd) and not any(even) else None
