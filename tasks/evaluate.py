"""Evaluate: the trained network on the test and validation reviews, in numbers that people compare."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task

from tasks.core.caching import BY_CONTENT, keep
from tasks.core.environment import store_root
from tasks.core.settings import EvaluationSettings
from tasks.core.store import Artifact, Store
from tasks.judging.metrics import accuracy_by_length, judge
from tasks.network.models import Scorer, load_model
from tasks.reviews.padded import Padded, PaddedFile


def score_part(reviews: Padded, score: Scorer) -> pa.Table:
    """Return the label, probability and length of each review of a part."""
    return pa.table({"label": reviews.labels, "probability": score(reviews), "length": reviews.lengths})


def evaluate_model(trained: Path, padded: Path, settings: EvaluationSettings, folder: Path) -> dict[str, Any]:
    """Write metrics.json, and for each split the probability of every review as <split>.parquet.

    Returns:
        What metrics.json holds: for "test" and "validation" what `judge` returns, and "by_length".
    """
    model = load_model(trained / "model.keras")
    bucketing = json.loads((trained / "training.json").read_text())["bucketing"]
    score = Scorer(model, settings.batch_size, bucketing=bucketing)
    judged = {}
    for split in ("test", "validation"):
        scored = pa.concat_tables(score_part(part, score) for part in PaddedFile(padded / f"{split}.parquet"))
        pq.write_table(scored, folder / f"{split}.parquet", compression="zstd")
        labels, probabilities, lengths = (column.to_numpy() for column in scored.columns)
        judged[split] = judge(labels, probabilities, settings) | {
            "by_length": accuracy_by_length(labels, probabilities, lengths, settings.threshold)
        }
    (folder / "metrics.json").write_text(json.dumps(judged, indent=1))
    return judged


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="evaluate")
def evaluate(trained: Artifact, padded: Artifact, settings: EvaluationSettings) -> Artifact:
    """Score the test and validation reviews with the trained network, and judge the scores."""
    store = Store(store_root())
    paths = store.path(trained), store.path(padded)
    return keep(lambda folder: evaluate_model(*paths, settings, folder))
