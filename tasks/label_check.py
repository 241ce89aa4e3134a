"""Label check: rank rows by how strongly models that have not seen them contradict their label; nothing is changed."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import EncodeSettings
from tasks.data_checks.label_issues import (
    LABEL_ISSUES,
    LabelIssues,
    by_label,
    contradictions,
    estimate_shares,
    out_of_sample,
)
from tasks.store.step import step
from tasks.texts.dataset import TEXTS, Dataset
from tasks.texts.downloaded import encoded_orders, groups_of, read_labels, read_rows
from tasks.texts.tables.writing import write_csv

EXAMPLES = 20
COLUMNS = ["file", "row", "split", "text", "label", "likelier label", "score"]


def places_of_rows(downloaded: Path, settings: EncodeSettings, train_rows: int) -> dict[str, tuple[str, np.ndarray]]:
    """Return the split of the download that each of `SPLITS` is from, and the row numbers in it."""
    labels = read_labels(downloaded)
    orders = encoded_orders(labels, groups_of(downloaded / TEXTS, labels["train"]), settings)
    train, rest = np.split(orders["train"], [train_rows])
    validation = ("validation", orders["validation"]) if "validation" in orders else ("train", rest)
    return {"train": ("train", train), "validation": validation, "test": ("test", orders["test"])}


@step()
def label_check(
    *, downloaded: Path, scored: Path, baselined: Path, data: EncodeSettings, folder: Path
) -> dict[str, int]:
    """Write label_issues.csv, with the rows for which another label is likelier, and label_issues.json.

    Returns:
        The number of these rows.
    """
    scores, names = out_of_sample(scored, baselined), np.array(Dataset.read(downloaded).labels)
    labels = np.concatenate([its.labels for its in scores])
    probabilities = by_label(np.concatenate([its.probabilities for its in scores]))
    likelier, doubts, tables, first = probabilities.argmax(axis=1), contradictions(labels, probabilities), [], 0
    for split, (source, rows) in places_of_rows(downloaded, data, len(scores[0].labels)).items():
        order = np.argsort(rows)
        order = order[(likelier != labels)[first + order]]
        at = first + order
        columns = {"split": np.full(len(at), split), "label": names[labels[at]], "likelier label": names[likelier[at]]}
        table = read_rows(downloaded, source, rows[order])
        for name, values in (columns | {"score": doubts[at]}).items():
            table = table.append_column(name, pa.array(values))
        tables.append(table)
        first += len(rows)
    issues = pa.concat_tables(tables).select(COLUMNS)
    issues = issues.take(pa.array(np.argsort(-issues["score"].to_numpy(), kind="stable")))
    write_csv(folder / LABEL_ISSUES, issues.schema, [issues])
    shares = estimate_shares(labels, probabilities, names.tolist())
    LabelIssues(rows=len(issues), by_label=shares, examples=issues.slice(0, EXAMPLES).to_pylist()).write(folder)
    return {"rows": len(issues)}
