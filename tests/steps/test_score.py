import numpy as np

from tasks.build import make_model
from tasks.core.run_settings import ModelSettings, ScoringSettings
from tasks.evaluation.predictions import Calibration, divide_logits, read_scores
from tasks.evaluation.training_history import Epoch, write_training
from tasks.network.keras_files import load_model, save_model
from tasks.network.onnx_export import write_network
from tasks.network.scoring import onnx_scorer
from tasks.score import score
from tasks.texts.dataset_info import Dataset
from tasks.texts.padded import write_padded
from tests.support.keras_scorer import keras_scorer
from tests.support.small_reviews import WORDS, padded_schema
from tests.support.small_runs import TRACED_SOONEST

SETTINGS = ScoringSettings()


def test_scores_equal_those_of_the_model_with_and_without_calibration(padded, tmp_path):
    for split in ("test", "validation"):
        parts = [(padded.tokens, padded.lengths, padded.labels)]
        write_padded(tmp_path / f"{split}.parquet", padded_schema(64, WORDS, "pre", "pre"), parts)
    save_model(make_model(ModelSettings(**TRACED_SOONEST, units=4, embedding_dim=4), WORDS), tmp_path / "model.keras")
    write_training(tmp_path, [Epoch(epoch=1, loss=1, val_loss=1, seconds=1)], bucketing=True, keep_best=False)
    Dataset(name="imdb", sha256="", labels=("negative", "positive")).write(tmp_path)
    (tmp_path / "out").mkdir()
    rows = score.function(
        downloaded=tmp_path, padded=tmp_path, trained=tmp_path, settings=SETTINGS, folder=tmp_path / "out"
    )
    assert rows == {"test": 120, "validation": 120}
    assert (tmp_path / "out" / "model.onnx").exists()
    expected = keras_scorer(load_model(tmp_path / "model.keras"), 7, bucketing=True)(padded)
    for split in rows:
        scores = read_scores(tmp_path / "out", split)
        assert scores.labels.tolist() == padded.labels.tolist()
        assert scores.probabilities.dtype == np.float32
        np.testing.assert_allclose(scores.probabilities, expected, atol=1e-5)
    assert Calibration.read(tmp_path / "out").temperature is None

    (tmp_path / "calibrated").mkdir()
    calibrate = ScoringSettings(calibrate=True)
    score.function(
        downloaded=tmp_path, padded=tmp_path, trained=tmp_path, settings=calibrate, folder=tmp_path / "calibrated"
    )
    temperature = Calibration.read(tmp_path / "calibrated").temperature
    calibrated = read_scores(tmp_path / "calibrated", "test").probabilities
    assert temperature != 1
    np.testing.assert_allclose(calibrated, divide_logits(expected, temperature), atol=1e-5)
    served = keras_scorer(load_model(tmp_path / "calibrated" / "model.keras"), 7, bucketing=True)(padded)
    np.testing.assert_allclose(calibrated, served, atol=1e-5)


def test_scores_have_identical_bytes_with_any_number_of_threads(padded, tmp_path, monkeypatch):
    write_network(make_model(ModelSettings(units=4, embedding_dim=4), WORDS), ["no", "yes"], tmp_path / "model.onnx")
    scorer = onnx_scorer(tmp_path / "model.onnx", 2, batch_size=8, bucketing=True)
    several = scorer(padded)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert scorer(padded).tobytes() == several.tobytes()
