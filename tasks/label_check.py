"""Label check: rank rows by how strongly models that have not seen them contradict their label; nothing is changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import EncodeSettings
from tasks.core.layout import LABEL_EXAMPLES, LABEL_ISSUES
from tasks.data_checks.label_issues import estimate_shares, rank_labels
from tasks.evaluation.scores import Scores, by_label, read_scores
from tasks.store.step import step
from tasks.texts.dataset import TEXTS, Dataset
from tasks.texts.downloaded import groups_of, order_texts, read_labels, read_rows
from tasks.texts.groups import keep_together
from tasks.texts.padded import SPLITS
from tasks.texts.tables.writing import write_csv

EXAMPLES = 20
COLUMNS = ["file", "row", "split", "text", "label", "likelier label", "score"]


def out_of_sample(scored: Path, baselined: Path) -> list[Scores]:
    """Return scores of the texts of each of `SPLITS` by models that have not seen them.

    The linear models of the other folds score a training text; the mean of the network and the linear model scores
    another.
    """
    train, *others = (read_scores(baselined, split) for split in SPLITS)
    means = (
        (its.probabilities + read_scores(scored, split).probabilities) / 2
        for split, its in zip(SPLITS[1:], others, strict=True)
    )
    return [train, *(Scores(its.labels, mean) for its, mean in zip(others, means, strict=True))]


def places_of_rows(downloaded: Path, settings: EncodeSettings, train_rows: int) -> list[tuple[str, np.ndarray]]:
    """Return the split of the download that each of `SPLITS` is from, and the row numbers in it."""
    labels = read_labels(downloaded)
    orders = order_texts(labels, settings)
    if settings.whole_groups:
        orders["train"] = keep_together(orders["train"], groups_of(downloaded / TEXTS, labels["train"]))
    train, rest = np.split(orders["train"], [train_rows])
    validation = ("validation", orders["validation"]) if "validation" in orders else ("train", rest)
    return [("train", train), validation, ("test", orders["test"])]


@step()
def label_check(
    *, downloaded: Path, scored: Path, baselined: Path, data: EncodeSettings, folder: Path
) -> dict[str, Any]:
    """Write label_issues.csv, with the rows for which another label is likelier, and the first of them as JSON.

    Returns:
        The number of these rows, and the share of wrong labels as `estimate_shares` returns it.
    """
    scores, names = out_of_sample(scored, baselined), np.array(Dataset.read(downloaded).labels)
    labels = np.concatenate([its.labels for its in scores])
    shares = by_label(np.concatenate([its.probabilities for its in scores]))
    likelier, contradiction = rank_labels(labels, shares)
    tables, first = [], 0
    for split, (source, rows) in zip(SPLITS, places_of_rows(downloaded, data, len(scores[0].labels)), strict=True):
        order = np.argsort(rows)
        order = order[(likelier != labels)[first + order]]
        at, first = first + order, first + len(rows)
        file, row, text = read_rows(downloaded, source, rows[order])
        columns = file, row, [split] * len(at), text, names[labels[at]], names[likelier[at]], contradiction[at]
        tables.append(pa.table(dict(zip(COLUMNS, columns, strict=True))))
    issues = pa.concat_tables(tables)
    issues = issues.take(pa.array(np.argsort(-issues["score"].to_numpy(), kind="stable")))
    write_csv(folder / LABEL_ISSUES, issues.schema, [issues])
    (folder / LABEL_EXAMPLES).write_text(json.dumps(issues.slice(0, EXAMPLES).to_pylist()))
    return {"rows": len(issues), "by_label": estimate_shares(labels, shares, names.tolist())}
