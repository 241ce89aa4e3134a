import json

import numpy as np
import pytest

from tasks.core.run_settings import MetricsSettings
from tasks.evaluate import evaluate
from tasks.evaluation.predictions import Calibration, Scores, read_scores, write_scores
from tasks.texts.dataset_info import Dataset
from tasks.texts.padded import padded_file, write_padded
from tests.support.metrics_page import DESCRIBED
from tests.support.small_reviews import WORDS, padded_schema


@pytest.fixture
def scored(padded, tmp_path, rng):
    """Padded texts, and their scores by a network and a baseline."""
    parts = [(padded.tokens, padded.lengths, padded.labels)]
    for split in ("test", "validation"):
        write_padded(padded_file(tmp_path, split), padded_schema(64, WORDS, "pre", "pre"), parts)
    Dataset(name="imdb", sha256="", labels=("negative", "positive")).write(tmp_path)
    for classifier, noise in (("network", 0.3), ("baseline", 0.8)):
        (tmp_path / classifier).mkdir()
        for split in ("test", "validation"):
            probabilities = np.clip(padded.labels + rng.normal(0, noise, 120), 0.01, 0.99).astype(np.float32)
            write_scores(tmp_path / classifier, split, Scores(padded.labels, probabilities))
    Calibration(temperature=None).write(tmp_path / "network")
    return tmp_path


def run_evaluate(scored, **settings) -> None:
    evaluate.function(
        downloaded=scored,
        padded=scored,
        scored=scored / "network",
        baselined=scored / "baseline",
        settings=MetricsSettings(**settings),
        considered="network",
        folder=scored / "out",
    )


def evaluated(scored, **settings) -> dict:
    (scored / "out").mkdir(exist_ok=True)
    run_evaluate(scored, **settings)
    return read_metrics(scored)


def read_metrics(scored) -> dict:
    metrics = json.loads((scored / "out" / "metrics.json").read_text())
    of_splits = {*metrics["test"], *metrics["validation"], *metrics["baseline"]} - {"comparison"}
    assert of_splits | set(metrics) <= DESCRIBED, "each key has a description"
    return metrics


def test_the_network_and_the_baseline_are_evaluated_and_compared(scored):
    metrics = evaluated(scored)
    assert metrics["test"]["accuracy"] > metrics["baseline"]["accuracy"] > 0.5
    comparison = metrics["baseline"]["comparison"]
    assert comparison["difference"] == pytest.approx(metrics["test"]["accuracy"] - metrics["baseline"]["accuracy"])
    assert sum(row["reviews"] for row in metrics["validation"]["by_length"]) == 120


def test_text_lengths_do_not_count_the_start_token(scored, padded):
    tokens = np.full((120, 65), 3, np.uint16)
    tokens[:, 0] = 1
    schema = padded_schema(65, WORDS, "pre", "pre", start_char=1)
    for split in ("test", "validation"):
        write_padded(padded_file(scored, split), schema, [(tokens, np.full(120, 65, np.int32), padded.labels)])
    (row,) = evaluated(scored)["test"]["by_length"]
    assert (row["from"], row["to"], row["reviews"]) == (1, 64, 120)


def test_the_comparison_uses_the_metric_of_the_settings(scored):
    metrics = evaluated(scored, metric="mcc")
    comparison, accuracy = metrics["baseline"]["comparison"], evaluated(scored)["baseline"]["comparison"]
    assert (comparison["metric"], accuracy["metric"]) == ("mcc", "accuracy")
    assert comparison["difference"] == pytest.approx(metrics["test"]["mcc"] - metrics["baseline"]["mcc"])
    assert comparison["ci95"][0] < comparison["difference"] < comparison["ci95"][1]
    assert comparison["only_first"] == accuracy["only_first"]


def test_the_threshold_changes_recall_but_not_roc_auc(scored):
    half, strict = evaluated(scored), evaluated(scored, threshold=0.9)
    assert strict["test"]["recall"] < half["test"]["recall"]
    assert strict["test"]["roc_auc"] == half["test"]["roc_auc"]


def test_calibration_and_unanswered_texts_are_reported_only_if_enabled(scored):
    assert not {"temperature", "answers"} & evaluated(scored).keys()
    Calibration(temperature=2.0).write(scored / "network")
    metrics = evaluated(scored, abstain_error=0.06)
    assert metrics["temperature"] == 2
    assert metrics["test"]["ece_before"] != metrics["test"]["ece"]
    assert metrics["answers"]["error"] < 0.06
    assert 0 < metrics["answers"]["unanswered"] < 1


def test_costs_move_the_threshold_and_are_reported(scored):
    metrics = evaluated(scored, cost=[("positive", "negative", 9)])
    scores = read_scores(scored / "network", "test")
    called = scores.probabilities >= 0.9
    assert metrics["test"]["mean_cost"] == pytest.approx(np.where(called, 9, 1)[called != scores.labels].sum() / 120)
    assert metrics["test"]["recall"] == pytest.approx(called[scores.labels == 1].mean())
