"""Tokenising: the rules by which text becomes words, in Arrow, and as tables for systems without Arrow.

A rule first respells each character independently of its neighbours, then separates characters that are words of
their own. The first half can therefore be written as a table of characters, which the SavedModel uses: TensorFlow has
no normalisation, and its lower-casing follows another Unicode version and depends on neighbours.
"""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.texts.vocabulary import select

# Keras's text preprocessing with its default filters, by which the IMDB reviews were tokenised, and the
# control characters and blanks that those reviews never have within a word. They do have U+0008, U+0010, U+0080 to
# U+009F and U+00A0 there, which therefore stay: the raw reviews give the same ids as the arrays.
KERAS_SEPARATORS = (
    r'[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n'
    r"\x00-\x07\x0b-\x0f\x11-\x1f\x7f\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)

ASCII_SEPARATORS = r"[\x00-\x1f!-&(-/:-@\[-`{-\x7f]"
# Curly quotes stand for the straight one, as does the acute accent that some keyboards have in its place.
APOSTROPHES = r"[\x{2018}\x{2019}\x{201b}\x{2bc}\x{b4}\x{1ffd}]"
# Soft hyphens, joiners, marks of direction and of an emoji's style stand within words, and are no part of them.
INVISIBLE = (
    r"[\x{ad}\x{61c}\x{200c}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{2066}-\x{206f}\x{fe00}-\x{fe0f}\x{feff}]"
)
# Scripts that put no spaces between words, and symbols, among them emoji: each character is a word of its own.
ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}\x{30fc}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{So}]"
# Takes the place of a character that nobody types, and that the next step takes out again.
MARK = "\x01"
UNASSIGNED = r"[^\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}\p{C}]"
# Letters, marks, digits and the apostrophe make words. Above U+3FFFF, where a table would grow tall, there is none.
UNICODE_SEPARATORS = r"[^\p{L}\p{M}\p{N}\p{So}' \x01]|[\x{40000}-\x{10ffff}]"
# A character that is a word of its own takes its accents and vowel signs along.
MARKED, ISOLATED = MARK + r"(.\p{M}*)", r" \1 "
TABLE = 0x40000


def respell_keras(texts: pa.Array) -> pa.Array:
    """Return texts in lower case, with spaces for Keras's punctuation."""
    # Arrow lowers letter by letter: a sigma at a word's end is as any other.
    return pc.utf8_lower(pc.replace_substring_regex(texts, KERAS_SEPARATORS, " "))


def respell_ascii(texts: pa.Array) -> pa.Array:
    """Return the same as `respell_unicode`, for ASCII only."""
    return pc.ascii_lower(pc.replace_substring_regex(texts, ASCII_SEPARATORS, " "))


def respell_unicode(texts: pa.Array) -> pa.Array:
    """Return texts decomposed (NFKD) in lower case, spaces between words, and marks before single-character words."""
    # A text's own U+0001 would pass for a mark; an unknown character's accents would be put in order by one table only.
    known = pc.replace_substring_regex(texts, f"{MARK}|{UNASSIGNED}", " ")
    visible = pc.replace_substring_regex(known, INVISIBLE, "")
    plain = pc.replace_substring_regex(visible, APOSTROPHES, "'")
    # Decomposed, an accent is one character however it was typed. Arrow's NFKC is the same: it does not compose again.
    lower = pc.utf8_lower(pc.utf8_normalize(plain, "NFKD"))
    marked = pc.replace_substring_regex(lower, f"({ALONE})", MARK + r"\1")
    # Those scripts have accents and vowel signs too, which belong to the letter before them.
    marked = pc.replace_substring_regex(marked, MARK + r"(\p{M})", r"\1")
    return pc.replace_substring_regex(marked, UNICODE_SEPARATORS, " ")


RULES = {"keras": respell_keras, "unicode": respell_unicode}


def tokenise(texts: pa.Array, rule: str) -> pa.ListArray:
    """Split n strings into n lists of words by a rule in `RULES`.

    The rule "unicode" leaves words decomposed; `vocabulary.compose` restores them.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    pieces = pc.split_pattern(space_words(texts, rule), " ")
    words = pieces.flatten()
    return select(pieces, np.asarray(pc.not_equal(words, "")), words)


def space_words(texts: pa.Array, rule: str) -> pa.Array:
    """Return texts as words between spaces."""
    if rule == "keras":
        return respell_keras(texts)
    is_ascii = pc.string_is_ascii(texts)
    fast = respell_ascii(texts.filter(is_ascii))
    others = pc.replace_substring_regex(respell_unicode(texts.filter(pc.invert(is_ascii))), MARKED, ISOLATED)
    both = pa.concat_arrays([fast, others])
    flags = np.asarray(is_ascii)
    places = np.where(flags, np.cumsum(flags) - 1, len(fast) + np.cumsum(~flags) - 1)
    return both.take(pa.array(places))


@functools.cache
def letter_table(rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what a rule's function in `RULES` makes of every single character.

    Returns:
        (TABLE + 2,) int32 offsets into the second array, which holds code points: those of c begin at offsets[c], those
        of every character from TABLE on at offsets[TABLE]. -1 stands for c itself.
    """
    points = [point for point in range(TABLE + 1) if not 0xD800 <= point < 0xE000]  # no text holds a surrogate
    characters = [chr(point) for point in points]
    respelt = RULES[rule](pa.array(characters))
    pairs = zip(characters, respelt.to_pylist(), strict=True)
    written = [[-1] if new == old else list(map(ord, new)) for old, new in pairs]
    counts = np.zeros(TABLE + 1, np.int32)
    counts[points] = [len(codes) for codes in written]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return offsets, np.array([point for codes in written for point in codes], np.int32)


def accent_ranks() -> np.ndarray:
    """Return the combining class of each character below `TABLE`, which orders several accents on one letter.

    (TABLE,) int32, 0 for letters. Arrow decomposes by a newer Unicode than Python 3.11's, which lacks ten rare accents.
    """
    return np.array([unicodedata.combining(chr(point)) for point in range(TABLE)], np.int32)
