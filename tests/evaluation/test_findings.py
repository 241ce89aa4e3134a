import re
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import EncodeSettings
from tasks.encode import encode
from tasks.evaluation.findings import (
    LONGEST_TEXT,
    MOST_CHARACTERS,
    describe_comparison,
    describe_fit,
    most_confused,
    read_texts,
    worst_mistakes,
)
from tasks.evaluation.predictions import Scores
from tasks.texts.dataset_info import TEXTS, Dataset
from tasks.texts.encoded import Encoding, write_encoded, write_vocabulary

NAMES = ("negative", "positive")


@pytest.fixture
def read(tmp_path):
    """Four encoded test texts: id 1 is the start, 2 an omitted word, and 4 and above are words."""
    reviews = pa.array([[1, 4, 5], [1, 2, 4], [1, *[5] * 400], [1, 6]], pa.list_(pa.uint16()))
    write_encoded(tmp_path / "test.parquet", [reviews.slice(0, 3), reviews.slice(3)], np.array([1, 0, 1, 1]))
    rules = {"skip_top": 0, "start_char": 1, "oov_char": 2, "index_from": 3}
    Encoding(vocabulary_size=7, **rules).write(tmp_path)
    write_vocabulary(tmp_path, ["good", "film", "<b>"])
    return partial(read_texts, tmp_path, tmp_path, EncodeSettings())


def test_the_worst_mistakes_come_first_with_their_text(read):
    mistakes = worst_mistakes(read, Scores(np.array([1, 0, 1, 1]), np.array([0.9, 0.8, 0.4, 0.1])), NAMES, 0.5)
    assert [mistake["row"] for mistake in mistakes] == [3, 1, 2]
    assert [mistake["text"] for mistake in mistakes][:2] == ["<b>", "[OOV] good"]
    assert mistakes[2]["text"] == "… " + " ".join(["film"] * LONGEST_TEXT)
    assert [mistake["words"] for mistake in mistakes] == [1, 2, 400]


def test_without_a_word_index_a_mistake_has_no_text(read, tmp_path):
    write_vocabulary(tmp_path, [])
    (mistake,) = worst_mistakes(read, Scores(np.array([1, 0, 1, 1]), np.array([0.9, 0.8, 0.9, 0.9])), NAMES, 0.5)
    assert mistake["text"] is None


def test_own_texts_are_quoted_as_they_are_with_unknown_words(tmp_path):
    tested = ["A good, unheard-of film!", "good good", "unheard", "x" * MOST_CHARACTERS + " film"]
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
        "A good, unheard-of film!": (2, "negative"),
        "good good": (2, "positive"),
        "unheard": (0, "negative"),
        "…" + "x" * (MOST_CHARACTERS - 5) + " film": (1, "positive"),
    }


def test_the_most_confused_labels_come_first_with_examples(read):
    labels = np.array([0, 1, 1, 2], np.int8)
    probabilities = np.array([[0.1, 0.9, 0], [0.7, 0.3, 0], [0.6, 0.4, 0], [0, 0.8, 0.2]], np.float32)
    first, second = most_confused(read, Scores(labels, probabilities), ["calm", "glad", "sad"], 0.5)
    assert (first["labels"], first["reviews"]) == (["calm", "glad"], 3)
    assert [(its["label"], its["verdict"], its["text"]) for its in first["examples"]] == [
        ("calm", "glad", "good film"),
        ("glad", "calm", "[OOV] good"),
    ]
    assert (second["labels"], second["reviews"]) == (["glad", "sad"], 1)
    assert [its["label"] for its in second["examples"]] == ["sad"]


def history(*losses: float) -> list[dict]:
    return [{"epoch": place + 1, "loss": 1 / (place + 1), "val_loss": loss} for place, loss in enumerate(losses)]


def test_overfitting_is_reported_only_if_the_validation_loss_rises():
    text = describe_fit(history(0.5, 0.4, 0.6))
    assert text.startswith("The network overfits after epoch 2: by epoch 3 the validation loss rose from 0.400")
    assert "still falling" in describe_fit(history(0.5, 0.4))
    assert "overfits" not in describe_fit(history(0.5, 0.4))
    assert "One epoch" in describe_fit(history(0.5))


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
