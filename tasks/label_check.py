"""Label check: rank rows by how strongly models that have not seen them contradict their label; nothing is changed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import EncodeSettings
from tasks.core.layout import LABEL_EXAMPLES, LABEL_ISSUES
from tasks.evaluation.metrics import wilson_interval
from tasks.evaluation.predictions import Scores, by_label, probability_of, read_scores
from tasks.store.step import step
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import read_labels, read_rows
from tasks.texts.padded import SPLITS
from tasks.texts.tables.writing import write_csv
from tasks.texts.validation import rows_of_splits

EXAMPLES = 20
COLUMNS = ["file", "row", "split", "text", "label", "likelier label", "score"]


def rank_labels(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest label of each row, and how strongly its label is contradicted: (n,) from 0 to 1.

    That is 1 minus the normalised margin between the label and the likeliest other one, after each label's mean
    probability in its own rows is subtracted: rare labels are not suspected as such (Northcutt, Jiang and Chuang,
    Confident learning, 2021). The likeliest label is at least as probable as the row's own.

    Args:
        labels: (n,) integers from 0; every label is present.
        probabilities: (n, labels) of models that have not seen the rows.
    """
    from cleanlab.rank import get_label_quality_scores

    options = {"method": "normalized_margin", "adjust_pred_probs": True}
    own = probability_of(probabilities, labels)
    means = np.bincount(labels, weights=own) / np.bincount(labels)
    above = np.where(probabilities >= own[:, None], probabilities - means, -np.inf)
    likelier = np.where(probabilities.argmax(axis=1) == labels, labels, above.argmax(axis=1))
    return likelier, 1 - get_label_quality_scores(labels, probabilities, **options)


def can_judge(labels: np.ndarray, probabilities: np.ndarray) -> bool:
    """Return whether the models are significantly more often right than the most frequent label."""
    right = int((probabilities.argmax(axis=1) == labels).sum())
    return bool(wilson_interval(right, len(labels))[0] > np.bincount(labels).max() / len(labels))


def estimate_shares(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each label's "rows", estimated share of wrong ones, "wrong", and its 95% interval "ci95".

    A row counts if the probability of a label reaches that label's mean in its own rows. The share is that of rows
    that count for another label (the confident joint of Northcutt et al.). Arguments are those of `rank_labels`.
    """
    from cleanlab.count import compute_confident_joint

    joint = compute_confident_joint(labels, probabilities, calibrate=False).tolist()
    shares = []
    for label, name in enumerate(names):
        counted, right = sum(joint[label]), joint[label][label]
        share, interval = 1 - right / counted, wilson_interval(counted - right, counted)
        shares.append({"label": name, "rows": int((labels == label).sum()), "wrong": share, "ci95": interval})
    return shares


def out_of_sample(scored: Path, baselined: Path) -> list[Scores]:
    """Return scores of the texts of each of `SPLITS` by models that have not seen them.

    The linear models of the other folds score a training text; another has the mean of network and linear model.
    """
    found = [read_scores(baselined, "train")]
    for split in SPLITS[1:]:
        linear, network = read_scores(baselined, split), read_scores(scored, split)
        found.append(Scores(linear.labels, (linear.probabilities + network.probabilities) / 2))
    return found


@step()
def label_check(
    *, downloaded: Path, scored: Path, baselined: Path, data: EncodeSettings, folder: Path
) -> dict[str, Any]:
    """Write label_issues.csv, with the rows for which another label is likelier, and the first of them as JSON.

    Return the number of these rows, 0 without an estimate, and the result of `estimate_shares`.
    """
    scores, names = out_of_sample(scored, baselined), np.array(Dataset.read(downloaded).labels)
    labels = np.concatenate([its.labels for its in scores])
    shares = by_label(np.concatenate([its.probabilities for its in scores]))
    likelier, contradiction = rank_labels(labels, shares)
    estimated = estimate_shares(labels, shares, names.tolist()) if can_judge(labels, shares) else None
    if estimated is None:
        likelier = labels
    tables, first, places = [], 0, rows_of_splits(downloaded, read_labels(downloaded), data)
    for split in SPLITS:
        source, rows = places[split]
        order = np.argsort(rows)
        order = order[(likelier != labels)[first + order]]
        at, first = first + order, first + len(rows)
        file, row, text = read_rows(downloaded, source, rows[order]).columns
        columns = file, row, np.full(len(at), split), text, names[labels[at]], names[likelier[at]], contradiction[at]
        tables.append(pa.table(dict(zip(COLUMNS, columns, strict=True))))
    issues = pa.concat_tables(tables)
    issues = issues.take(pa.array(np.argsort(-issues["score"].to_numpy(), kind="stable")))
    write_csv(folder / LABEL_ISSUES, issues.schema, [issues])
    (folder / LABEL_EXAMPLES).write_text(json.dumps(issues.slice(0, EXAMPLES).to_pylist()))
    return {"rows": len(issues), "by_label": estimated}
