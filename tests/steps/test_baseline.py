from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.baseline import PENALTIES, baseline
from tasks.core.run_settings import BaselineSettings
from tasks.evaluation.predictions import read_scores
from tasks.evaluation.selection_metric import measure
from tasks.linear.naive_bayes import MAXLEN
from tasks.network.keras_files import load_model
from tasks.network.onnx_export import write_network
from tasks.network.scoring import onnx_scorer
from tasks.texts.encoded import Encoding, read_labels, write_encoded
from tasks.texts.groups import write_groups
from tasks.texts.padded import Padded, pad_tokens
from tests.support.keras_scorer import keras_scorer
from tests.support.small_reviews import WORDS, make_reviews


def lists(reviews) -> pa.ListArray:
    return pa.array(reviews, pa.list_(pa.uint16()))


def write_texts(folder, rng, labels: int) -> list[list[int]]:
    """Write 200 training, 40 validation and 80 test texts, with one too long and one empty; return the test texts."""
    tested: list[list[int]] = []
    for split, count in (("train", 240), ("test", 80)):
        reviews, of_two = make_reviews(count, rng)
        named = np.array(of_two) if labels == 2 else np.arange(count) % labels
        if labels > 2:
            reviews = [[*review, label + 1] for review, label in zip(reviews, named, strict=True)]
        reviews[5], reviews[6] = reviews[5] * (2 * MAXLEN // len(reviews[5])), []
        order = rng.permutation(count)
        tested = [reviews[row] for row in order]
        if split == "train":
            write_encoded(folder / "validation.parquet", [lists(tested[200:])], named[order[200:]])
        rows = slice(0, 200)
        write_encoded(folder / f"{split}.parquet", [lists(tested[rows])], named[order[rows]])
    write_groups(folder, np.arange(200))
    Encoding(skip_top=0, start_char=None, oov_char=None, index_from=0, vocabulary_size=WORDS).write(folder)
    return tested


@pytest.mark.parametrize("labels", [2, 3])
def test_out_of_fold_adds_training_scores_and_does_not_change_others(tmp_path, rng, labels):
    write_texts(tmp_path, rng, labels)
    scores = []
    for name, out_of_fold in (("out", True), ("without", False)):
        (tmp_path / name).mkdir()
        folders = {"encoded": tmp_path, "folder": tmp_path / name}
        baseline.function(**folders, settings=BaselineSettings(min_documents=1), out_of_fold=out_of_fold)
        scores.append(read_scores(tmp_path / name, "test"))
    assert not (tmp_path / "without" / "train.parquet").exists()
    assert scores[0].probabilities.tolist() == scores[1].probabilities.tolist()
    train = read_scores(tmp_path / "out", "train")
    assert (train.verdicts(0.5) == train.labels).mean() > 0.9
    assert train.labels.tolist() == read_labels(tmp_path / "train.parquet").tolist()


@pytest.mark.parametrize("labels", [2, 3])
def test_the_linear_model_learns_and_its_network_gives_the_same_scores(tmp_path, rng, labels):
    tested = write_texts(tmp_path, rng, labels)
    (tmp_path / "out").mkdir()
    rows = baseline.function(
        encoded=tmp_path,
        settings=BaselineSettings(),
        out_of_fold=False,
        folder=tmp_path / "out",
    )
    assert (rows["test"], rows["validation"]) == (80, 40)
    scores, held_out = (read_scores(tmp_path / "out", split) for split in ("test", "validation"))
    for its in (scores, held_out):
        assert (its.verdicts(0.5) == its.labels).mean() > 0.9
    network = load_model(tmp_path / "out" / "model.keras")
    write_network(network, [str(label) for label in range(labels)], tmp_path / "model.onnx")
    for padding in ("pre", "post"):
        tokens, lengths = pad_tokens(lists(tested), MAXLEN, padding=padding, truncating="post")
        padded = Padded(tokens, lengths, scores.labels, padding)
        for scorer in (
            keras_scorer(network, 64, bucketing=True),
            onnx_scorer(tmp_path / "model.onnx", labels, 8, bucketing=True),
        ):
            assert scorer(padded) == pytest.approx(scores.probabilities, abs=1e-5)


def fit(folder: Path, name: str, **settings: float) -> tuple[float, float]:
    """Run the step on the texts in `folder`; return the inverse penalty and the log loss on validation texts."""
    (folder / name).mkdir()
    folders = {"encoded": folder, "folder": folder / name}
    facts = baseline.function(**folders, settings=BaselineSettings(**settings), out_of_fold=False)
    scores = read_scores(folder / name, "validation")
    return facts["inverse_penalty"], measure("log_loss", scores.labels, scores.labels, scores.probabilities)


def test_short_texts_get_the_penalty_that_fits_validation_and_long_ones_the_first(tmp_path, rng, monkeypatch):
    write_texts(tmp_path, rng, 2)
    losses = {penalty: fit(tmp_path, f"{penalty}", inverse_penalty=penalty)[1] for penalty in PENALTIES}
    best = min(losses, key=lambda penalty: losses[penalty])
    assert best != PENALTIES[0]
    assert fit(tmp_path, "short") == (best, losses[best])
    monkeypatch.setattr("tasks.baseline.SHORT", 1)
    assert fit(tmp_path, "long") == (PENALTIES[0], losses[PENALTIES[0]])


def test_texts_without_a_frequent_phrase_all_get_the_same_score(tmp_path, rng):
    write_texts(tmp_path, rng, 2)
    (tmp_path / "out").mkdir()
    settings = BaselineSettings(min_documents=1000)
    baseline.function(encoded=tmp_path, settings=settings, out_of_fold=False, folder=tmp_path / "out")
    scores = read_scores(tmp_path / "out", "test").probabilities
    network = load_model(tmp_path / "out" / "model.keras")
    assert np.array(network(np.ones((1, 32), np.int32)))[0, 0] == pytest.approx(scores[0], abs=1e-6)
    assert (scores == scores[0]).all()
