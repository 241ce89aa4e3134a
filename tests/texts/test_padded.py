import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.padded import Padded, PaddedFile, pad_tokens, words_kept, write_padded
from tests.support.small_reviews import padded_schema


def part(rows: int, rng: np.random.Generator, dtype=np.uint16):
    return (
        rng.integers(0, 90, (rows, 16)).astype(dtype),
        rng.integers(0, 17, rows).astype(np.int32),
        rng.integers(0, 2, rows).astype(np.int8),
    )


@pytest.mark.parametrize(("vocabulary_size", "dtype"), [(65_536, np.uint16), (65_537, np.int32)])
def test_padded_texts_are_read_back_as_written(tmp_path, rng, vocabulary_size, dtype):
    tokens, lengths, labels = part(50, rng, dtype)
    schema = padded_schema(16, vocabulary_size, "post", "pre")
    assert write_padded(tmp_path / "p.parquet", schema, [(tokens, lengths, labels)]) == 50
    (read,) = PaddedFile(tmp_path / "p.parquet")
    assert read.tokens.dtype == dtype
    assert (read.tokens == tokens).all()
    assert (read.lengths == lengths).all()
    assert (read.labels == labels).all()
    assert read.padding == "post"


def test_a_part_has_at_most_four_row_groups(tmp_path, rng):
    groups = [part(rows, rng) for rows in (3, 5, 2, 4, 6)]
    write_padded(tmp_path / "p.parquet", padded_schema(16, 100, "pre", "pre"), groups)
    file = PaddedFile(tmp_path / "p.parquet")
    assert (file.rows, len(file)) == (20, 2)
    assert [its.tolist() for its in file.column("length")] == [its.lengths.tolist() for its in file]
    for read, four in zip(file, (groups[:4], groups[4:]), strict=True):
        assert (read.tokens == np.concatenate([tokens for tokens, _lengths, _labels in four])).all()


def test_tokens_of_one_row_group_are_read_without_a_copy(tmp_path, rng):
    write_padded(tmp_path / "p.parquet", padded_schema(16, 100, "pre", "pre"), [part(50, rng)])
    tokens = PaddedFile(tmp_path / "p.parquet")[0].tokens
    assert not tokens.flags.owndata
    assert not tokens.flags.writeable


def test_the_schema_records_token_type_truncation_and_tokenising_rule(tmp_path, rng):
    write_padded(tmp_path / "p.parquet", padded_schema(16, 100, "pre", "post", "unicode"), [part(2, rng)])
    schema = pq.read_schema(tmp_path / "p.parquet")
    assert schema.field("tokens").type == pa.binary(16 * 2)
    assert schema.metadata[b"token_type"] == b"uint16"
    assert schema.metadata[b"truncating"] == b"post"
    assert schema.metadata[b"rule"] == b"unicode"


@given(st.lists(st.integers(0, 9), max_size=20), st.sampled_from(["pre", "post", "middle"]), st.sampled_from([None, 1]))
def test_the_start_mark_is_not_counted_as_a_word(words, truncating, start_char):
    maxlen = 6
    lists = pa.array([[1] * (start_char is not None) + [5] * count for count in words], pa.list_(pa.int32()))
    tokens, lengths = pad_tokens(lists, maxlen, truncating=truncating)
    padded = Padded(tokens, lengths, np.zeros(len(words), np.int8), "pre")
    assert words_kept(padded, start_char).tolist() == (tokens == 5).sum(axis=1).tolist()
