"""Find wrong labels of IMDB's test reviews, and compare with what people said about 1,310 of them.

    python benchmarks/label_errors.py RUN REVIEWS VOTES

RUN is the folder of a run with --data.dataset REVIEWS (Parquet with split, label, rating, id and text) and
--data.split-column split, VOTES a table with split, label, rating, id, votes_given and votes_opposite. The votes are
never learned from.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import roc_auc_score

from tasks.core.environment import store_root
from tasks.core.layout import CONFIG, METRICS
from tasks.core.run_settings import RunSettings
from tasks.evaluation.predictions import by_label
from tasks.label_check import out_of_sample, rank_labels
from tasks.texts.downloaded import read_labels, read_rows
from tasks.texts.padded import SPLITS
from tasks.texts.validation import rows_of_splits

KEYS = ["split", "label", "rating", "id"]
FIRST = 500


def rank_rows(run: str) -> pa.Table:
    """Return the number in the file of each scored text, and how strongly its label is contradicted by two rankings."""
    named = json.loads((Path(run) / METRICS).read_text())["artifacts"]
    downloaded, scored, baselined = (store_root() / named[step]["key"] for step in ("download", "score", "baseline"))
    scores = out_of_sample(scored, baselined)
    labels = np.concatenate([its.labels for its in scores])
    shares = by_label(np.concatenate([its.probabilities for its in scores]))
    settings = RunSettings.model_validate_json((Path(run) / CONFIG).read_bytes()).data
    numbers = []
    places = rows_of_splits(downloaded, read_labels(downloaded), settings)
    for source, rows in (places[split] for split in SPLITS):
        order = np.argsort(rows)
        number = np.empty(len(rows), np.int64)
        number[order] = read_rows(downloaded, source, rows[order])["row"]
        numbers.append(number)
    ours, theirs = rank_labels(labels, shares)[1], 1 - get_label_quality_scores(labels, shares)
    return pa.table({"row": np.concatenate(numbers) - 1, "ours": ours, "cleanlab": theirs})


def main(run: str, reviews: str, votes: str) -> None:
    read = pq.read_table(reviews, columns=KEYS)
    read = read.append_column("row", pa.array(np.arange(len(read))))
    said = pq.read_table(votes)
    for place, name in enumerate(said.column_names):  # joins need equal types
        if name in KEYS:
            said = said.set_column(place, name, said[name].cast(read[name].type))
    joined = said.join(read, KEYS, join_type="inner").join(rank_rows(run), "row", join_type="inner")
    wrong = {
        "not confirmed": joined["votes_given"].to_numpy() < 3,
        "three said the opposite": joined["votes_opposite"].to_numpy() >= 3,
    }
    print(f"{len(joined):,} reviews with votes, {wrong['not confirmed'].mean():.1%} not confirmed")
    for name in ("ours", "cleanlab"):
        ranking = joined[name].to_numpy()
        first = wrong["not confirmed"][np.argsort(-ranking, kind="stable")[:FIRST]].mean()
        areas = ", ".join(f"{what} {roc_auc_score(truth, ranking):.4f}" for what, truth in wrong.items())
        print(f"{name}: {first:.1%} of the first {FIRST} not confirmed; area under ROC: {areas}")


if __name__ == "__main__":
    main(*sys.argv[1:])
