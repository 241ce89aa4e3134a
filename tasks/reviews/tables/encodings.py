"""Encodings: which one the bytes of a text that is not UTF-8 are probably in."""

import codecs

# charset_normalizer is imported inside the function that needs it, which runs for a message alone.

MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
FOREIGN = 0.3
SAMPLE = 1 << 16


def guess_encoding(raw: bytes) -> str:
    """Return the encoding that bytes which are not UTF-8 are probably in, by a name that Python knows.

    Languages in Latin letters have few others, and such files come from Windows; the rest is left to statistics.
    """
    raw = raw[:SAMPLE]
    if wide := wide_encoding(raw):
        return wide
    if sum(byte > 127 for byte in raw) <= FOREIGN * len(raw):
        return "windows-1252"
    from charset_normalizer import from_bytes

    best = from_bytes(raw).best()
    return best.encoding if best else "windows-1252"


def wide_encoding(raw: bytes) -> str | None:
    """Return UTF-16 or UTF-32 where a file begins as they do: with their mark, or a 0 in every second byte."""
    for mark, name in MARKS:
        if raw.startswith(mark):
            return name
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(raw) >= 4 and not any(raw[first:64:2]) and all(raw[1 - first : 64 : 2]):
            return name
    return None
