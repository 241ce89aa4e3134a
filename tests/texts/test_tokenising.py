import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.texts.tokenising import RULES, tokenise
from tasks.texts.vocabulary import compose

BLANKS = [*range(9, 14), 0, 0x1F, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def words(text: str, rule: str = "unicode") -> list[str]:
    (its,) = tokenise(pa.array([text]), rule).to_pylist()
    return its


def keras_rule(text: str) -> list[str]:
    """Split a text by Keras's rule in plain Python, which `tokenise` does in Arrow."""
    for character in '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n':
        text = text.replace(character, " ")
    return [word for word in text.lower().split(" ") if word]


def test_typical_texts_are_split_by_the_keras_rule():
    texts = ["It's GREAT -- really\tgreat!<br />A [must]-see; 10/10.", "", " ... ", "naïve Café"]
    assert tokenise(pa.array(texts), "keras").to_pylist() == [keras_rule(text) for text in texts]


@given(st.lists(st.text(st.characters(min_codepoint=9, max_codepoint=0x17F, exclude_characters="İ\x7f"), max_size=40)))
def test_random_texts_are_split_by_the_keras_rule(texts):
    texts = ["".join(" " if "\n" < its < " " else its for its in text) for text in texts]
    assert tokenise(pa.array(texts, pa.string()), "keras").to_pylist() == [keras_rule(text) for text in texts]


@pytest.mark.parametrize("rule", RULES)
def test_whitespace_and_control_characters_separate_words(rule):
    others = [0x85, 0xA0, 8, 16, 1] if rule == "unicode" else []
    for point in BLANKS + others:
        assert words(f"a{chr(point)}b", rule) == ["a", "b"], hex(point)
    assert words("one\r\ntwo\r\n\r\nthree", rule) == ["one", "two", "three"]


def test_the_keras_rule_does_not_split_at_characters_within_imdb_words():
    for point in (8, 16, 0x80, 0x85, 0x97, 0xA0):
        assert words(f"A{chr(point)}B", "keras") == [f"a{chr(point)}b"]


@pytest.mark.parametrize("rule", RULES)
def test_lowercasing_does_not_depend_on_neighbouring_letters(rule):
    assert words("ΟΔΟΣ ΣΑΣ", rule) == ["οδοσ", "σασ"]
    assert len(words("İstanbul I", rule)) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Great” — don’t miss it…", ["great", "don't", "miss", "it"]),
        ("don´t DON‘T don't", ["don't"] * 3),
        ("ﬁne Ｇｒｅａｔ！ ½", ["fine", "great", "1", "2"]),
        ("Cafe\u0301 Caf\u00e9 ÉTÉ", ["café", "café", "été"]),
        ("won\u00adder\u200dful", ["wonderful"]),
        ("한국어 영화", ["한국어", "영화"]),
        ("这部电影很好看。", list("这部电影很好看")),
        ("ビール、すし", ["ビ", "ー", "ル", "す", "し"]),
        ("ที่ดีมาก", ["ที่", "ดี", "ม", "า", "ก"]),
        ("great😀😀 film", ["great", "😀", "😀", "film"]),
        ("I ❤\ufe0f it 👍🏽", ["i", "❤", "it", "👍"]),
        ("ХОРОШИЙ фильм, да?", ["хороший", "фильм", "да"]),
        ("فيلم رائع جدا", ["فيلم", "رائع", "جدا"]),
        ("बहुत अच्छी फ़िल्म", ["बहुत", "अच्छी", unicodedata.normalize("NFC", "फ़िल्म")]),
        ("snake_case\x01a", ["snake", "case", "a"]),
    ],
)
def test_texts_in_many_languages_are_split_into_words(text, expected):
    assert [compose(word) for word in words(text)] == expected


@given(st.text(max_size=60), st.sampled_from(sorted(RULES)))
def test_tokenising_is_idempotent(text, rule):
    its = words(text, rule)
    assert words(" ".join(its), rule) == its


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_nfc_and_nfd_forms_of_a_text_have_the_same_words(text):
    assert len({tuple(words(unicodedata.normalize(form, text))) for form in ("NFC", "NFD")}) == 1


@given(st.lists(st.text(max_size=40), max_size=8), st.sampled_from(sorted(RULES)))
def test_words_of_a_text_do_not_depend_on_the_other_texts(texts, rule):
    assert tokenise(pa.array(texts, pa.string()), rule).to_pylist() == [words(text, rule) for text in texts]


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_the_ascii_fast_path_gives_the_same_words(text):
    assert words(text) == words(text + " é")[:-1]
