import pyarrow.parquet as pq
import pytest

from tasks.build import make_model
from tasks.core.settings import EvaluationSettings, ModelSettings
from tasks.evaluate import evaluate_model
from tasks.network.models import save_model
from tasks.reviews.padded import padded_schema, write_padded
from tests.small_reviews import WORDS

SETTINGS = EvaluationSettings()


def test_every_review_gets_its_probability(padded, tmp_path):
    for split in ("test", "validation"):
        parts = [(padded.tokens, padded.lengths, padded.labels)]
        write_padded(tmp_path / f"{split}.parquet", padded_schema(64, WORDS, "pre", "pre"), parts)
    save_model(make_model(ModelSettings(units=4, embedding_dim=4), WORDS), tmp_path / "model.keras")
    (tmp_path / "training.json").write_text('{"bucketing": true}')
    (tmp_path / "out").mkdir()
    judged = evaluate_model(tmp_path, tmp_path, SETTINGS, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "test.parquet")
    assert table.column_names == ["label", "probability", "length"]
    right = (table["probability"].to_numpy() >= 0.5) == table["label"].to_numpy()
    assert right.mean() == pytest.approx(judged["test"]["accuracy"])
    assert {"test", "validation"} == set(judged)
