"""A network with phrases, through the whole flow and in every export format."""

import json
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest

from flows.imdb_flow import download_dataset, run_steps
from tasks.core.run_settings import RunSettings
from tasks.evaluation.predictions import read_scores
from tasks.export import export_classifier
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version, load_classifier, load_version
from tasks.store.step import planning
from tasks.texts.padded import PaddedFile
from tests.support.keras_scorer import open_keras
from tests.support.small_runs import small

PRESET = tomllib.loads((Path(__file__).parents[2] / "tasks" / "core" / "presets" / "tuned.toml").read_text("utf-8"))
SMALL = {
    "data": {"whole_groups": True, "validation_split": 0.1},
    "model": PRESET["model"] | {"units": 8},
    "phrases": {"folds": 2, "iterations": 5, "vector_dim": 8},
    "training": {"clipnorm": 1.0, "beta_2": 0.99},
    "tracking": {"enabled": True},
    "promotion": {"min_accuracy": 0.4},
}


@pytest.mark.slow
def test_a_network_with_phrases_gives_equal_scores_in_every_format(run, imdb, store, tmp_path):
    metrics = run(small(imdb, **SMALL))
    assert [step["name"] for step in metrics["steps"]][:9] == [
        "download", "encode", "pad", "baseline", "phrases", "build", "train",
        "score", "evaluate",
    ]  # fmt: skip
    assert metrics["test"]["accuracy"] > 0.8
    texts = pa.array(["word5 word30 word31 word5", "word6 word40 word6", "word200", "", "word5 " * 90, "word6 " * 20])
    made = find_version(str(metrics["folder"]), "imdb-classifier", None)
    packaged = load_version(made, None, open_keras)
    champion = load_classifier(None, "imdb-classifier", tracking_uri())
    scores = packaged.predict(texts)
    assert scores[0] > 0.5 > scores[1]
    assert champion.predict(texts) == pytest.approx(scores, abs=1e-5)
    assert [packaged.predict(texts[row : row + 1])[0] for row in range(6)] == pytest.approx(scores, abs=1e-6)
    for format, tolerance in (("saved_model", 1e-6), ("onnx", 1e-5)):
        assert export_classifier(packaged, tmp_path / format, format) <= tolerance
    part = PaddedFile(store / metrics["artifacts"]["pad"]["key"] / "test.parquet")[0]
    evaluated = read_scores(store / metrics["artifacts"]["score"]["key"], "test")
    assert packaged.score(part)[:20] == pytest.approx(evaluated.probabilities[:20], abs=1e-5)

    with planning() as plans:
        changed = small(imdb, **SMALL | {"phrases": SMALL["phrases"] | {"iterations": 6}})
        run_steps(changed, download_dataset(changed.data))
    assert [plan.step for plan in plans if plan.status != "cached"] == [
        "phrases", "build", "train", "score", "evaluate", "figures", "package",
    ]  # fmt: skip


def test_the_tuned_preset_is_valid_settings():
    settings = RunSettings.model_validate(PRESET)
    assert settings.model.phrases
    assert settings.data.whole_groups
    assert json.loads(settings.model_dump_json())["training"]["clipnorm"] == 1.0
