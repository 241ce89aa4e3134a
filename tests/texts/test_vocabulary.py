import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.encoded import Encoding
from tasks.texts.vocabulary import UNRANKED, count_words, rank_words, ranks_to_ids, words_to_ranks

WORD = st.text("abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=8)
REVIEWS = st.lists(st.lists(WORD, max_size=12), min_size=1, max_size=8)


def encoding(size: int, start_char: int | None = 1) -> Encoding:
    return Encoding(skip_top=0, start_char=start_char, oov_char=2, index_from=3, vocabulary_size=size)


def test_words_rank_by_frequency_then_first_appearance():
    tokens = pa.array([["b", "a", "c"], ["a", "c", "a"]])
    assert rank_words([tokens]) == ["a", "c", "b"]
    assert rank_words([tokens[:1]]) == ["b", "a", "c"]


@given(REVIEWS, REVIEWS)
def test_words_rank_the_same_in_one_part_or_two(first, second):
    parts = [pa.array(reviews, pa.list_(pa.string())) for reviews in (first, second, first + second)]
    assert rank_words(parts[:2]) == rank_words(parts[2:])


@given(REVIEWS)
def test_known_words_survive_encoding_and_decoding(reviews):
    tokens = pa.array(reviews, pa.list_(pa.string()))
    vocabulary = rank_words([tokens])
    ids = ranks_to_ids(words_to_ranks(tokens, pa.array(vocabulary, pa.string())), encoding(len(vocabulary) + 4))
    decoded = [(start, *(vocabulary[number - 4] for number in words)) for start, *words in ids.to_pylist()]
    assert decoded == [(1, *review) for review in reviews]


def test_unknown_words_are_left_out_of_ids_and_counted():
    ranks = words_to_ranks(pa.array([["known", "unknown", "known"], ["unknown"]]), pa.array(["known"]))
    assert ranks.to_pylist() == [[1, UNRANKED, 1], [UNRANKED]]
    assert ranks_to_ids(ranks, encoding(9, start_char=None)).to_pylist() == [[4, 4], []]
    words, unknown = count_words(ranks, encoding(9))
    assert words.tolist() == [3, 1]
    assert unknown.tolist() == [1, 1]


def test_ids_are_uint16_for_small_vocabularies_and_int32_otherwise():
    ranks = pa.array([[1, 70_000]], pa.list_(pa.int32()))
    assert ranks_to_ids(ranks, encoding(10_000)).type.value_type == pa.uint16()
    assert ranks_to_ids(ranks, encoding(80_000)).type.value_type == pa.int32()


def test_a_sliced_list_array_is_encoded_like_its_copy():
    ranks = pa.array([[9, 9, 9], [1], [2, 3]], pa.list_(pa.int32()))[1:]
    assert ranks_to_ids(ranks, encoding(100)).to_pylist() == [[1, 4], [1, 5, 6]]
