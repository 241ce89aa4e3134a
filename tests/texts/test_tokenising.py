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
    """Keras's rule, word by word: what Arrow does at once."""
    for character in '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n':
        text = text.replace(character, " ")
    return [word for word in text.lower().split(" ") if word]


def test_a_review_is_split_as_keras_splits_it():
    texts = ["It's GREAT -- really\tgreat!<br />A [must]-see; 10/10.", "", " ... ", "naïve Café"]
    assert tokenise(pa.array(texts), "keras").to_pylist() == [keras_rule(text) for text in texts]


@given(st.lists(st.text(st.characters(min_codepoint=9, max_codepoint=0x17F, exclude_characters="İ\x7f"), max_size=40)))
def test_any_text_is_split_as_keras_splits_it(texts):
    texts = ["".join(" " if "\n" < its < " " else its for its in text) for text in texts]
    assert tokenise(pa.array(texts, pa.string()), "keras").to_pylist() == [keras_rule(text) for text in texts]


@pytest.mark.parametrize("rule", RULES)
def test_blanks_and_control_characters_part_words(rule):
    others = [0x85, 0xA0, 8, 16, 1] if rule == "unicode" else []
    for point in BLANKS + others:
        assert words(f"a{chr(point)}b", rule) == ["a", "b"], hex(point)
    assert words("one\r\ntwo\r\n\r\nthree", rule) == ["one", "two", "three"]


def test_what_the_imdb_arrays_have_within_words_stays_there_by_their_rule():
    for point in (8, 16, 0x80, 0x85, 0x97, 0xA0):
        assert words(f"A{chr(point)}B", "keras") == [f"a{chr(point)}b"]


@pytest.mark.parametrize("rule", RULES)
def test_letters_are_lowered_one_by_one(rule):
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
def test_words_of_any_language(text, expected):
    assert [compose(word) for word in words(text)] == expected


@given(st.text(max_size=60), st.sampled_from(sorted(RULES)))
def test_words_joined_by_spaces_are_the_same_words(text, rule):
    its = words(text, rule)
    assert words(" ".join(its), rule) == its


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_texts_that_mean_the_same_to_unicode_are_the_same_words(text):
    assert len({tuple(words(unicodedata.normalize(form, text))) for form in ("NFC", "NFD")}) == 1


@given(st.lists(st.text(max_size=40), max_size=8), st.sampled_from(sorted(RULES)))
def test_a_text_has_its_words_in_any_company(texts, rule):
    assert tokenise(pa.array(texts, pa.string()), rule).to_pylist() == [words(text, rule) for text in texts]


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_the_faster_way_for_ascii_gives_the_same_words(text):
    assert words(text) == words(text + " é")[:-1]
