import re
import shutil
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import EncodeSettings, OrderSettings
from tasks.encode import encode
from tasks.evaluation.findings import (
    LONGEST_TEXT,
    describe_comparison,
    describe_fit,
    describe_unpredicted,
    most_confused,
    name_baseline,
    read_texts,
    worst_mistakes,
)
from tasks.evaluation.predictions import Scores
from tasks.texts.dataset_info import TEXTS, Dataset
from tasks.texts.encoded import Encoding
from tasks.texts.shuffle import order_texts

NAMES = ("negative", "positive")


@pytest.fixture
def read(tmp_path):
    """Four test texts, as scored."""
    texts, labels = ["good film", "unheard good", "film " * 400, "<b>"], pa.array([1, 0, 1, 1], pa.int8())
    Dataset(name="own", sha256="", labels=NAMES).write(tmp_path)
    Encoding(vocabulary_size=7, skip_top=0, start_char=1, oov_char=2, index_from=3).write(tmp_path)
    order = np.argsort(order_texts({"train": np.zeros(0), "test": np.zeros(4)}, OrderSettings())["test"])
    columns = {"split": ["test"] * 4, "label": labels.take(pa.array(order)), "text": [texts[row] for row in order]}
    pq.write_table(pa.table(columns), tmp_path / TEXTS)
    return partial(read_texts, tmp_path, tmp_path, OrderSettings())


def test_the_worst_mistakes_come_first_with_their_text(read):
    mistakes = worst_mistakes(read, Scores(np.array([1, 0, 1, 1]), np.array([0.9, 0.8, 0.4, 0.1])), NAMES, 0.5)
    assert [mistake["row"] for mistake in mistakes] == [3, 1, 2]
    assert [mistake["text"] for mistake in mistakes][:2] == ["<b>", "unheard good"]
    assert mistakes[2]["text"] == "…" + ("film " * 400)[-LONGEST_TEXT:]
    assert [mistake["words"] for mistake in mistakes] == [1, 2, 400]


def test_mistakes_of_three_labels_are_in_the_order_of_the_probability_that_is_shown(read):
    probabilities = np.array([[0.01, 0.5, 0.49], [0.7, 0.1, 0.2], [0.2, 0.3, 0.5], [0.9, 0.1, 0]], np.float32)
    mistakes = worst_mistakes(read, Scores(np.array([0, 1, 1, 0]), probabilities), ["calm", "glad", "sad"], 0.5)
    assert [(its["row"], round(its["probability"], 4)) for its in mistakes] == [(1, 0.7), (0, 0.5), (2, 0.5)]


def test_without_a_word_index_a_mistake_has_no_text(imdb, tmp_path):
    shutil.copy(imdb / "imdb.npz", tmp_path)
    Encoding(vocabulary_size=300, skip_top=0, start_char=1, oov_char=2, index_from=3).write(tmp_path)
    read = partial(read_texts, tmp_path, tmp_path, OrderSettings())
    (mistake,) = worst_mistakes(read, Scores(np.array([1, 0, 1, 1]), np.array([0.9, 0.8, 0.9, 0.9])), NAMES, 0.5)
    assert mistake["text"] is None


def test_the_words_of_arrays_are_quoted_with_those_that_were_left_out(imdb, tmp_path):
    for name in ("imdb.npz", "imdb_word_index.json", "dataset.json"):
        shutil.copy(imdb / name, tmp_path)
    settings = EncodeSettings(num_words=200)
    encode.function(downloaded=tmp_path, settings=settings, folder=tmp_path)
    encoded = pq.read_table(tmp_path / "test.parquet")["tokens"]
    texts = read_texts(tmp_path, tmp_path, settings, np.array([7, 0, 3]))
    for text, ids in zip(texts, encoded.take([7, 0, 3]).to_pylist(), strict=True):
        assert text["words"] == len(ids) - 1
        words = text["text"].removeprefix("…").split()[1:]
        assert words
        pairs = zip(words, ids[-len(words) :], strict=True)
        assert all(number in (2, int(word.removeprefix("word")) + 3) for word, number in pairs)


def test_own_texts_are_quoted_as_they_are_with_unknown_words(tmp_path):
    tested = ["A good, unheard-of film!", "good good", "unheard", "x" * LONGEST_TEXT + " film"]
    splits = ["train"] * 2 + ["test"] * 4 + ["validation"] * 20
    columns = {"split": splits, "label": pa.array([0, 1] * 13, pa.int8())}
    pq.write_table(pa.table(columns | {"text": ["good film", "bad film", *tested, *["film"] * 20]}), tmp_path / TEXTS)
    Dataset(name="own", sha256="", labels=NAMES).write(tmp_path)
    settings = EncodeSettings(max_reviews=20, max_odd_lengths=0.9, max_unknown=0.9)
    encode.function(downloaded=tmp_path, settings=settings, folder=tmp_path)
    labels = np.asarray(pq.read_table(tmp_path / "test.parquet")["label"])
    mistakes = worst_mistakes(
        partial(read_texts, tmp_path, tmp_path, settings), Scores(labels, 1.0 - labels), NAMES, 0.5
    )
    words = {mistake["text"]: (mistake["words"], mistake["label"]) for mistake in mistakes}
    assert words == {
        "A good, unheard-of film!": (5, "negative"),
        "good good": (2, "positive"),
        "unheard": (1, "negative"),
        "…" + "x" * (LONGEST_TEXT - 5) + " film": (2, "positive"),
    }


def test_the_most_confused_labels_come_first_with_examples(read):
    labels = np.array([0, 1, 1, 2], np.int8)
    probabilities = np.array([[0.1, 0.9, 0], [0.7, 0.3, 0], [0.6, 0.4, 0], [0, 0.8, 0.2]], np.float32)
    first, second = most_confused(read, Scores(labels, probabilities), ["calm", "glad", "sad"], 0.5)
    assert (first["labels"], first["reviews"]) == (["calm", "glad"], 3)
    assert [(its["label"], its["verdict"], its["text"]) for its in first["examples"]] == [
        ("calm", "glad", "good film"),
        ("glad", "calm", "unheard good"),
    ]
    assert (second["labels"], second["reviews"]) == (["glad", "sad"], 1)
    assert [its["label"] for its in second["examples"]] == ["sad"]


def test_labels_that_the_model_never_predicts_are_named():
    by_label = [{"label": name} for name in ("negative", "neutral", "positive")]
    assert describe_unpredicted({"confusion": [[0, 0, 1], [0, 0, 2], [0, 0, 9]], "by_label": by_label}) == (
        "The model never predicts 'negative', 'neutral', although there are such test texts."
    )
    assert describe_unpredicted({"confusion": [[0, 1, 1], [1, 0, 2], [0, 0, 9]], "by_label": by_label}) == ""


def history(*losses: float) -> list[dict]:
    return [{"epoch": place + 1, "loss": 1 / (place + 1), "val_loss": loss} for place, loss in enumerate(losses)]


def test_overfitting_is_reported_only_if_the_validation_loss_rises():
    text = describe_fit(history(0.5, 0.4, 0.6), 2)
    assert text.startswith("The network overfits after epoch 2: by epoch 3 the validation loss rose from 0.400")
    assert text.endswith("--training.keep-best keeps the weights of epoch 2.")
    assert "still falling" in describe_fit(history(0.5, 0.4), 2)
    assert "overfits" not in describe_fit(history(0.5, 0.4), 2)
    assert "One epoch" in describe_fit(history(0.5), 1)


def test_overfitting_is_reported_only_if_the_digits_shown_tell_it():
    flat = describe_fit(history(0.5, 0.08011, 0.08012), 2)
    assert flat == (
        "The validation loss was lowest after epoch 2 (0.080), and is 0.080 after epoch 3: more epochs are unlikely to "
        "help."
    )
    rising = [epoch | {"loss": loss} for epoch, loss in zip(history(0.5, 0.4, 0.6), (0.7, 0.342, 0.354), strict=True)]
    assert "overfits" not in describe_fit(rising, 2)


def test_keeping_the_best_epoch_is_advised_only_if_it_is_not_the_last():
    assert "--training.keep-best" not in describe_fit(history(0.5, 0.4, 0.6), 3)
    assert describe_fit(history(0.5, 0.4, 0.6), 1).endswith("of epoch 1, the best by evaluation.metric.")


@pytest.mark.parametrize(
    ("difference", "p_value", "expected"),
    [
        (-0.05, 1e-9, r"is worse than the linear baseline by 5.00 points.*p < 0.001"),
        (0.02, 0.01, r"is better than the linear baseline by 2.00 points.*p = 0.010"),
        (0.02, 0.2, r"do not differ significantly \(\+2.00 points.*p = 0.200"),
    ],
)
def test_a_comparison_describes_the_difference_and_its_p_value(difference, p_value, expected):
    compared = {"metric": "accuracy", "difference": difference, "ci95": [difference - 0.01, difference + 0.01]}
    compared |= {"p_value": p_value, "only_first": 1000, "only_second": 20}
    text = describe_comparison(compared)
    assert "1,000 texts" in text
    assert re.search(expected, text)


@pytest.mark.parametrize(
    ("metric", "temperature", "expected"),
    [
        ("log_loss", {"temperature": 1.2}, "uncalibrated linear baseline"),
        ("log_loss", {}, "linear baseline"),
        ("accuracy", {"temperature": 1.2}, "linear baseline"),
    ],
)
def test_a_baseline_that_calibration_would_change_is_called_uncalibrated(metric, temperature, expected):
    assert name_baseline({"baseline": {"comparison": {"metric": metric}}} | temperature) == expected
