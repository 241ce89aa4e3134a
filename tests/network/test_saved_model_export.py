import sys

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.network.saved_model_export import tokenise_in_graph
from tasks.texts.tokenising import RULES, tokenise

# All characters up to the end of the table, and some of those after it, which are treated alike.
POINTS = (*range(0xD800), *range(0xE000, 0x40010), *range(0x40010, 0x110000, 997))
NEWER = {*range(0x10EFD, 0x10F00), 0x11F41, 0x11F42, 0x1E08F, *range(0x1E4EC, 0x1E4F0)}  # accents of Unicode 15
KNOWN = sys.version_info >= (3, 12)  # Python 3.11 does not know them
CHARACTERS = [chr(point) for point in POINTS if KNOWN or point not in NEWER]
SCRIPTS = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from("ab'B \0\r\n-“”’‘…—´Σσςİıß"), max_size=40),
    st.text(st.characters(max_codepoint=0x500), max_size=40),
    st.text(st.characters(categories=["Mn", "Mc", "Lo"]), max_size=40),
    st.text(st.sampled_from("e\u0301\u0302\u0323\u031b\u0345oσ가ᄀ\u1161\u11a8ガカ\u3099"), max_size=20),
    st.text(st.sampled_from("电影好ビールすしที่ดีມັນភាសាမြန်😀👍🏽❤\ufe0f\u200d🇩🇪a "), max_size=40),
)


@pytest.fixture(scope="module", params=sorted(RULES))
def both(request):
    """Return a function from texts to their words by TensorFlow and by Arrow."""
    in_graph = tf.function(tokenise_in_graph(request.param), input_signature=[tf.TensorSpec((None,), tf.string)])

    def both(texts: list[str]) -> tuple[list[list[str]], list[list[str]]]:
        found = in_graph(tf.constant([text.encode() for text in texts], tf.string)).to_list()
        words = tokenise(pa.array(texts, pa.string()), request.param)
        return [[word.decode() for word in its if word] for its in found], words.to_pylist()

    return both


def test_tensorflow_and_arrow_tokenise_every_character_alike(both):
    """Alone, between letters, after a sigma, and under accents out of order; 256 characters per text."""
    contexts = " {0} A{0}B \u03a3{0} {0}\u0301\u0323{0}"
    texts = [
        "".join(contexts.format(character) for character in CHARACTERS[start : start + 256])
        for start in range(0, len(CHARACTERS), 256)
    ]
    for theirs, ours in zip(*both(texts), strict=True):
        assert theirs == ours


@settings(max_examples=100)
@given(texts=st.lists(SCRIPTS, min_size=1, max_size=5))
def test_tensorflow_and_arrow_tokenise_any_text_alike(both, texts):
    theirs, ours = both(texts)
    assert theirs == ours
