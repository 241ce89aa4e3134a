"""More than two labels, from a table of texts to verdicts in TensorFlow and ONNX Runtime."""

import dataclasses
import itertools
import json

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from tasks.core.command_settings import PredictSettings
from tasks.export import export_classifier, score_with_onnx
from tasks.network.verdicts import describe_verdict, explain
from tasks.predict import predict_text, score_file
from tests.support.small_runs import make_classifier, small

MOODS = ("angry", "calm", "glad")
TEXTS = ["Good, GOOD film!", "", "bad-film it's\tthe\nend", "unheard words", "the film " * 40]
TOPICS = 50


@pytest.fixture(scope="module")
def moody(tmp_path_factory):
    """An untrained classifier of three labels."""
    return make_classifier(tmp_path_factory.mktemp("moody"), MOODS)


def test_scored_rows_have_the_predicted_label_and_all_probabilities(moody, tmp_path):
    source, output = tmp_path / "a.csv", tmp_path / "scored.parquet"
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "a.parquet")
    source.write_text("text\n" + "".join(f'"{text}"\n' for text in TEXTS))
    score_file(moody, source, output, PredictSettings(input=str(source), output=str(output), explain=1), [].append)
    table = pq.read_table(output)
    each = [f"probability_{name}" for name in MOODS]
    assert table.column_names == ["text", "predicted_label", "probability", *each, "words"]
    scores = np.stack([table[name].to_numpy() for name in each], axis=1)
    assert scores == pytest.approx(moody.predict(pa.array(TEXTS)), abs=1e-6)
    assert scores.sum(axis=1) == pytest.approx(np.ones(len(TEXTS)))
    assert table["probability"].to_numpy() == pytest.approx(scores.max(axis=1))
    assert table["predicted_label"].to_pylist() == [MOODS[label] for label in scores.argmax(axis=1)]
    word, share, label = table["words"][0].as_py().split()
    assert word in ("good", "film")
    assert float(share)
    assert label in MOODS


def test_each_word_is_explained_by_the_label_it_changes_most(moody):
    scores = moody.predict(pa.array(["good good film", "film"]))
    verdict = describe_verdict(moody, scores[0])
    assert verdict["label"] == MOODS[scores[0].argmax()]
    assert verdict["probabilities"] == dict(zip(MOODS, scores[0].tolist(), strict=True))
    (good,) = (its for its in explain(moody, "good good film", 9).shares if its.word == "good")
    fallen = dict(zip(MOODS, scores[0] - scores[1], strict=True))
    assert good.share == pytest.approx(fallen[good.label], abs=1e-6)
    assert abs(good.share) == pytest.approx(max(map(abs, fallen.values())), abs=1e-6)


@pytest.mark.slow
def test_saved_model_and_onnx_exports_give_all_probabilities_and_labels(moody, tmp_path):
    assert export_classifier(moody, tmp_path / "saved") <= 1e-6
    answer = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"](text=tf.constant(TEXTS))
    expected = moody.predict(pa.array(TEXTS))
    assert answer["probabilities"].numpy() == pytest.approx(expected, abs=1e-6)
    assert [name.decode() for name in answer["label"].numpy()] == [MOODS[label] for label in expected.argmax(axis=1)]
    assert export_classifier(moody, tmp_path / "onnx", "onnx") <= 1e-5
    assert score_with_onnx(tmp_path / "onnx", pa.array(TEXTS)) == pytest.approx(expected, abs=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    assert [its.name for its in session.get_outputs()] == ["probabilities"]
    named = {its.key: its.value for its in onnx.load(tmp_path / "onnx" / "model.onnx").metadata_props}
    assert json.loads(named["labels"]) == list(MOODS)


@pytest.mark.slow
def test_the_saved_model_applies_costs_and_confidence_as_the_classifier(moody, tmp_path):
    costs = ((0, 1, 1), (3, 0, 1), (1, 9, 0))
    facts = moody.facts.model_copy(update={"costs": costs, "confidence_threshold": 0.333})
    careful = dataclasses.replace(moody, facts=facts)
    export_classifier(careful, tmp_path / "saved")
    answer = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"](text=tf.constant(TEXTS))
    verdicts = [describe_verdict(careful, scores) for scores in careful.predict(pa.array(TEXTS))]
    assert [name.decode() for name in answer["label"].numpy()] == [verdict["label"] for verdict in verdicts]
    assert answer["answered"].numpy().tolist() == [verdict["answered"] for verdict in verdicts]
    assert {verdict["label"] for verdict in verdicts} == {"angry"}
    assert all(verdict["probability"] == verdict["probabilities"]["angry"] for verdict in verdicts)


@pytest.mark.slow
def test_fifty_labels_are_trained_registered_and_predicted(run, tmp_path, rng):
    texts = [
        {"text": f"word{number} {' '.join(rng.choice(['a', 'the', 'of'], 4))} n{number}", "label": f"topic {topic:02}"}
        for topic, number in itertools.product(range(TOPICS), range(40))
    ]
    for row in texts:
        row["text"] += f" mark{row['label'][-2:]}"
    pq.write_table(pa.Table.from_pylist(texts), tmp_path / "topics.parquet")
    data = {"dataset": str(tmp_path / "topics.parquet"), "maxlen": 32}
    registry = {"tracking": {"enabled": True}, "promotion": {"min_accuracy": 0.5}}
    its = run(small(None, data=data, training={"epochs": 8}, **registry))
    test = its["test"]
    assert [row["label"] for row in test["by_label"]] == [f"topic {topic:02}" for topic in range(TOPICS)]
    assert np.shape(test["confusion"]) == (TOPICS, TOPICS)
    assert np.diag(test["confusion"]).sum() == pytest.approx(test["accuracy"] * np.sum(test["confusion"]))
    assert test["accuracy"] > 0.5, "guessing gives 0.02"
    assert its["baseline"]["accuracy"] > 0.9
    page = (its["folder"] / "report.html").read_text()
    assert "topic 07" in page
    assert its["promotion"]["decision"] == "champion"
    # It is the only registered model with a champion, so it is the default.
    verdict = predict_text(PredictSettings(text="the of a mark07"), None)
    assert verdict["model"] == "topics-classifier version 1"
    assert len(verdict["probabilities"]) == TOPICS
