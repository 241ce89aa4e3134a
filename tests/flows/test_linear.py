"""On few texts the linear model is registered instead of the network, and works in every format."""

from tasks.reporting.command_line import read_preset

import numpy as np
import pyarrow as pa
import pytest

from tasks.core.run_settings import RunSettings
from tasks.evaluation.predictions import divide_logits, read_scores
from tasks.export import export_classifier
from tasks.network.bundle import open_onnx
from tasks.network.verdicts import judge_texts
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version, load_version
from tasks.reporting.terminal_output import show_run
from tasks.texts.padded import PaddedFile, padded_file
from tests.support.keras_scorer import open_keras

WORDS = ["film", "actor", "scene", "plot", "music", "the", "a", "was", "seen", "long", "night", "story"]


def write_random_texts(path, rng) -> None:
    """Write 120 texts of random words, each with one word that decides its label."""
    lines = []
    for row in range(120):
        text = rng.choice(WORDS, rng.integers(5, 20)).tolist()
        text.insert(int(rng.integers(len(text))), ("awful", "great")[row % 2])
        lines.append(f"{' '.join(text)},{('negative', 'positive')[row % 2]}")
    path.write_text("text,label\n" + "\n".join(lines))


@pytest.mark.slow
def test_the_linear_model_becomes_champion_and_serves_if_it_scores_best(run, tmp_path, store, capsys):
    write_random_texts(tmp_path / "moods.csv", np.random.default_rng(0))
    preset = read_preset("fast")
    own = {"data": preset["data"] | {"dataset": str(tmp_path / "moods.csv")}}
    metrics = run(RunSettings.model_validate(preset | own))
    candidates = metrics["candidates"]
    assert (candidates["considered"], candidates["chosen"]) == ("best", "linear")
    assert candidates["linear"]["value"] == 1 >= candidates["network"]["value"]
    own = {"validation_texts": 20, "validation": "stratified by label"}
    assert metrics["derived"] == own | {"folds": 4, "epochs": 9, "passes": 20, "inverse_penalty": 1.0}
    assert metrics["test"]["accuracy"] == metrics["baseline"]["accuracy"] == 1
    assert metrics["promotion"]["decision"] == "champion"
    page = (metrics["folder"] / "report.html").read_text()
    assert "The linear model serves: " in page
    head = " ".join(page[page.index("<header>") : page.index("</section>")].split())
    assert "26 test texts · the linear model, which serves instead of the network" in head
    assert "gru" not in head
    assert "points of accuracy: lead of the network over the linear model that serves" in head
    show_run(metrics["folder"])
    assert "--promotion.candidates network insists" in " ".join(capsys.readouterr().out.split())

    found = find_version(None, "moods-classifier", tracking_uri())
    champion, with_keras = (load_version(found, tracking_uri(), opened) for opened in (open_onnx, open_keras))
    assert (champion.facts.maxlen, champion.facts.bucketing) == (4096, True)
    texts = pa.array(["a great film", "the plot was awful", "", "unheard", "great " + "long night " * 3000])
    scores = champion.predict(texts)
    assert champion.label_names(scores).to_pylist()[:2] == ["positive", "negative"]
    assert with_keras.predict(texts) == pytest.approx(scores, abs=1e-5)
    assert [champion.predict(texts[row : row + 1])[0] for row in range(5)] == pytest.approx(scores, abs=1e-6)
    assert judge_texts(champion, ["a great film"], count=1)[0]["words"][0].word == "great"
    for format, tolerance in (("saved_model", 1e-6), ("onnx", 1e-5)):
        assert export_classifier(with_keras, tmp_path / format, format) <= tolerance
    # The step's scores and the model's scores for the same tokens are both calibrated.
    chosen = read_scores(store / metrics["artifacts"]["evaluate"]["key"], "test").probabilities
    linear = read_scores(store / metrics["artifacts"]["baseline"]["key"], "test").probabilities
    assert chosen == pytest.approx(divide_logits(linear, metrics["temperature"]), abs=1e-6)
    part = PaddedFile(padded_file(store / metrics["artifacts"]["pad"]["key"], "test"))[0]
    assert champion.score(part) == pytest.approx(chosen, abs=1e-5)
