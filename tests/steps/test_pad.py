import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.data_settings import DataSettings, EncodeSettings, PadSettings
from tasks.download import download
from tasks.encode import encode
from tasks.pad import pad
from tasks.texts.encoded import iterate_encoded
from tasks.texts.padded import PaddedFile, pad_tokens

SIDE = st.sampled_from(["pre", "post"])


@given(
    st.lists(st.lists(st.integers(1, 9_999), max_size=30), min_size=1, max_size=20),
    st.integers(1, 40),
    SIDE,
    SIDE,
)
def test_padded_tokens_equal_those_of_keras(reviews, maxlen, padding, truncating):
    from keras.utils import pad_sequences

    tokens, kept = pad_tokens(pa.array(reviews, pa.list_(pa.uint16())), maxlen, padding=padding, truncating=truncating)
    assert (tokens == pad_sequences(reviews, maxlen=maxlen, padding=padding, truncating=truncating)).all()
    assert kept.tolist() == [min(len(review), maxlen) for review in reviews]
    assert tokens.dtype == np.uint16


@given(st.lists(st.lists(st.integers(1, 9_999), max_size=30), min_size=1, max_size=20), st.integers(1, 40), SIDE)
def test_truncating_the_middle_keeps_both_ends_of_long_texts(reviews, maxlen, padding):
    tokens, kept = pad_tokens(pa.array(reviews, pa.list_(pa.uint16())), maxlen, padding=padding, truncating="middle")
    for review, row, count in zip(reviews, tokens.tolist(), kept, strict=True):
        head = maxlen // 4
        expected = review if len(review) <= maxlen else review[:head] + review[len(review) - maxlen + head :]
        assert len(expected) == count
        assert row == (([0] * (maxlen - count) + expected) if padding == "pre" else expected + [0] * (maxlen - count))


def test_the_padded_splits_have_each_encoded_text_once_and_in_order(imdb, tmp_path):
    (tmp_path / "encoded").mkdir()
    encode.function(downloaded=imdb, settings=EncodeSettings(), folder=tmp_path / "encoded")
    rows = pad.function(encoded=tmp_path / "encoded", settings=PadSettings(maxlen=40), folder=tmp_path)
    assert rows == {"train": 192, "validation": 48, "test": 80}
    for split in rows:
        (padded,) = PaddedFile(tmp_path / f"{split}.parquet")
        assert len(padded.tokens) == rows[split]
        (encoded,) = iterate_encoded(tmp_path / "encoded" / f"{split}.parquet")
        tokens, lengths = pad_tokens(encoded["tokens"], 40, padding="pre", truncating="pre")
        assert (padded.tokens == tokens).all()
        assert padded.lengths.tolist() == lengths.tolist()
        assert padded.labels.tolist() == encoded["label"].to_pylist()


@pytest.mark.parametrize("whole_groups", [False, True])
@pytest.mark.parametrize("oversampled", [False, True])
def test_validation_cut_from_training_shares_no_text_with_it(tmp_path, whole_groups, oversampled):
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 99, 6)) for _ in range(300)]
    label_of = {text: "pos" if place % 10 == 0 else "neg" for place, text in enumerate(texts)}
    train = texts + 9 * texts[::10] if oversampled else texts * 2
    for name, lines in (("train", train), ("test", texts)):
        rows = [f"{text}{' x' * (name == 'test')},{label_of[text]}" for text in lines]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]))
    folders = [tmp_path / name for name in ("downloaded", "encoded", "padded")]
    for folder in folders:
        folder.mkdir()
    data = DataSettings(dataset=f"{tmp_path}/", validation_split=0.1, whole_groups=whole_groups, max_unknown=1)
    download.function(settings=data, folder=folders[0])
    encode.function(downloaded=folders[0], settings=data, folder=folders[1])
    rows = pad.function(encoded=folders[1], settings=data, folder=folders[2])
    encoded = {split: pq.read_table(folders[1] / f"{split}.parquet") for split in ("train", "validation")}
    train, validation = (set(map(tuple, its["tokens"].to_pylist())) for its in encoded.values())
    assert 57 <= rows["validation"] <= 90
    assert not train & validation
    assert set(encoded["validation"]["label"].to_pylist()) == {0, 1}
