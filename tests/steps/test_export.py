import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks.export
from tasks.build import make_model
from tasks.core.command_settings import ExportSettings
from tasks.core.errors import InputError, ModelError
from tasks.core.run_settings import ModelSettings, ScoringSettings
from tasks.evaluation.predictions import read_scores
from tasks.evaluation.training_history import Epoch, write_training
from tasks.export import FORMATS, export, export_classifier, score_with_onnx
from tasks.network.keras_files import save_model
from tasks.score import score
from tasks.texts.dataset_info import Dataset
from tasks.texts.encoded import read_vocabulary
from tasks.texts.padded import write_padded
from tests.support.keras_scorer import keras_scorer
from tests.support.small_reviews import padded_schema
from tests.support.small_runs import CASE_STUDY

TEXTS = [
    "Good, GOOD film!",
    "",
    "bad-film it's\tthe\nend",
    "unheard words",
    *(f"{'the film ' * n}bad" for n in (7, 20, 40, 99)),
]

SCRIPT = """
import sys
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
assert list(served.structured_outputs) == ["probability"]
print(*served(text=tf.constant(sys.argv[2:]))["probability"].numpy().tolist())
assert "tasks" not in sys.modules
"""


def with_network(classifier, **settings):
    """The classifier with another untrained network."""
    network = make_model(ModelSettings(units=4, embedding_dim=4, dense_units=4, **settings), 10)
    return dataclasses.replace(classifier, network=network, score=keras_scorer(network, 8, bucketing=True))


@pytest.mark.slow
def test_the_exported_case_study_network_scores_like_the_classifier(classifier, tmp_path):
    other = with_network(classifier, **CASE_STUDY)
    assert export_classifier(other, tmp_path / "exported") <= 1e-6
    served = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    ours, theirs = other.predict(pa.array(TEXTS)), served(text=tf.constant(TEXTS))
    assert np.abs(ours - theirs["probability"].numpy()).max() <= 1e-6


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        ({"padding": "post", "truncating": "post", "maxlen": 40, "bucketing": False}, {"oov_char": None}),
        ({"truncating": "middle", "maxlen": 33}, {"start_char": None, "skip_top": 5}),
        ({"maxlen": 20, "confidence_threshold": 0.5005}, {"vocabulary_size": 7}),
    ],
)
def test_a_saved_model_export_scores_like_the_classifier(classifier, tmp_path, facts, rules):
    other = dataclasses.replace(
        classifier,
        facts=classifier.facts.model_copy(update=facts),
        encoding=classifier.encoding.model_copy(update=rules),
    )
    other.score.bucketing = other.facts.bucketing
    try:
        assert export_classifier(other, tmp_path / "exported") <= 1e-6
        served = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
        for texts in (TEXTS, TEXTS[::-1], TEXTS[:1]):
            ours, theirs = other.predict(pa.array(texts)), served(text=tf.constant(texts))
            assert np.abs(ours - theirs["probability"].numpy()).max() <= 1e-6
            answered = other.are_answered(ours)
            assert ("answered" in theirs) == (answered is not None)
            assert answered is None or answered.tolist() == theirs["answered"].numpy().tolist()
    finally:
        classifier.score.bucketing = True


@pytest.fixture(scope="module")
def all_scores(classifier, tmp_path_factory):
    """A function that scores texts with the step score, prediction and the exported model, in that order."""
    folder = tmp_path_factory.mktemp("everywhere")
    save_model(classifier.network, folder / "model.keras")
    write_training(folder, [Epoch(epoch=1, loss=1, val_loss=1, seconds=1)], bucketing=True, keep_best=False)
    Dataset(name="imdb", sha256="", labels=classifier.facts.labels).write(folder)
    export_classifier(classifier, folder / "exported")
    serve = tf.saved_model.load(str(folder / "exported")).signatures["serving_default"]

    def all_scores(texts: list[str], batch_size: int) -> list[np.ndarray]:
        reviews, _words = classifier.encode(pa.array(texts, pa.string()))
        labels = np.arange(len(texts)) % 2
        schema = padded_schema(reviews.tokens.shape[1], classifier.encoding.vocabulary_size, "pre", "pre")
        for split in ("validation", "test"):
            write_padded(folder / f"{split}.parquet", schema, [(reviews.tokens, reviews.lengths, labels)])
        with tempfile.TemporaryDirectory() as evaluated:
            score.function(
                downloaded=folder,
                padded=folder,
                trained=folder,
                settings=ScoringSettings(batch_size=batch_size),
                folder=Path(evaluated),
            )
            probabilities = read_scores(Path(evaluated), "test").probabilities
        served = serve(text=tf.constant(texts))["probability"].numpy()
        return [probabilities, classifier.predict(pa.array(texts, pa.string())), served]

    return all_scores


@settings(max_examples=6)
@given(
    st.lists(st.text(st.sampled_from("good bad film!. x"), max_size=300), min_size=2, max_size=20),
    st.integers(1, 25),
    st.data(),
)
def test_a_text_scores_the_same_alone_in_any_batch_and_after_export(classifier, all_scores, texts, batch_size, data):
    order = data.draw(st.permutations(range(len(texts))))
    shuffled = all_scores([texts[row] for row in order], batch_size)
    for scores in (*all_scores(texts, 5), *(its[np.argsort(order)] for its in shuffled)):
        for text, probability in zip(texts[:3], scores, strict=False):
            assert abs(classifier.predict(pa.array([text]))[0] - probability) <= 1e-6


@pytest.mark.parametrize(
    "its",
    [
        {"cell": "simple_rnn", "bidirectional": False},
        {"layers": 2, "readout": "state"},
        {"activation": "softsign", "recurrent_activation": "hard_sigmoid", "readout": "mean"},
        {"cell": "gru", "activation": "elu", "readout": "max"},
    ],
)
def test_onnx_exports_of_different_networks_score_like_the_classifier(classifier, tmp_path, its):
    other = with_network(classifier, **its)
    assert export_classifier(other, tmp_path / "exported", "onnx") <= 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "exported" / "model.onnx")
    assert [(its.name, its.type, len(its.shape)) for its in session.get_inputs()] == [("tokens", "tensor(int32)", 2)]
    assert [(its.name, its.type, len(its.shape)) for its in session.get_outputs()] == [
        ("probability", "tensor(float)", 1)
    ]
    scores = score_with_onnx(tmp_path / "exported", pa.array(TEXTS))
    assert np.abs(scores - other.predict(pa.array(TEXTS))).max() <= 1e-5
    assert read_vocabulary(tmp_path / "exported") == classifier.vocabulary.to_pylist()
    assert json.loads((tmp_path / "exported" / "classifier.json").read_text())["labels"] == ["negative", "positive"]


def test_an_export_with_different_scores_is_refused_and_removed(classifier, tmp_path, monkeypatch):
    write, score, _tolerance = FORMATS["onnx"]
    monkeypatch.setitem(FORMATS, "onnx", (write, lambda *given: score(*given) + 2e-5, 1e-5))
    with pytest.raises(ModelError, match="scores differ by 2e-05; it is not kept"):
        export_classifier(classifier, tmp_path / "exported", "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_export_runs_in_a_new_process_with_only_tensorflow(classifier, tmp_path):
    export_classifier(classifier, tmp_path / "exported")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "exported"), *TEXTS],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert np.allclose([float(word) for word in done.stdout.split()], classifier.predict(pa.array(TEXTS)), atol=1e-6)


def test_an_output_that_cannot_be_written_is_refused_before_loading_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.export, "find_version", pytest.fail)
    (tmp_path / "old").mkdir()
    (tmp_path / "file").write_text("I am a file")
    for output, reason in (
        ("old", "exists already; name a new folder with --output"),
        ("file", "exists already"),
        ("file/new/1", f"cannot be written, because {tmp_path / 'file'} is a file; name another place with --output"),
    ):
        with pytest.raises(InputError, match=f"{tmp_path / output}: {reason}"):
            export.fn(ExportSettings(output=str(tmp_path / output)), None)
    assert (tmp_path / "file").read_text() == "I am a file"
