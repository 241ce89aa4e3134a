import numpy as np

from tasks.build import make_model
from tasks.core.settings import ModelSettings, ScoringSettings
from tasks.evaluation.scores import read_scores
from tasks.network.history import Epoch, write_training
from tasks.network.keras_files import save_model
from tasks.score import score
from tasks.texts.padded import padded_schema, write_padded
from tests.support.small_reviews import WORDS

SETTINGS = ScoringSettings()


def test_every_text_gets_a_probability(padded, tmp_path):
    for split in ("test", "validation"):
        parts = [(padded.tokens, padded.lengths, padded.labels)]
        write_padded(tmp_path / f"{split}.parquet", padded_schema(64, WORDS, "pre", "pre"), parts)
    save_model(make_model(ModelSettings(units=4, embedding_dim=4), WORDS), tmp_path / "model.keras")
    write_training(tmp_path, [Epoch(epoch=1, loss=1, val_loss=1, seconds=1)], bucketing=True, keep_best=False)
    (tmp_path / "out").mkdir()
    rows = score.function(trained=tmp_path, padded=tmp_path, settings=SETTINGS, folder=tmp_path / "out")
    assert rows == {"test": 120, "validation": 120}
    for split in rows:
        scores = read_scores(tmp_path / "out", split)
        assert scores.labels.tolist() == padded.labels.tolist()
        assert scores.probabilities.dtype == np.float32
        assert ((scores.probabilities > 0) & (scores.probabilities < 1)).all()
