"""Differences between two runs: settings, code, texts, metrics, and test texts whose prediction flipped."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.errors import PipelineError
from tasks.evaluation.metrics import HEADLINES
from tasks.evaluation.predictions import decision_rule, probability_of, read_scores
from tasks.evaluation.selection_metric import missing_labels
from tasks.evaluation.significance import compare, compare_metric
from tasks.store.fingerprint import Cause, find_causes
from tasks.store.run_record import RunRecord, folder_of
from tasks.store.store import Store
from tasks.texts.dataset_info import Dataset
from tasks.texts.downloaded import hash_split, identify_texts, iterate_texts, read_labels
from tasks.texts.shuffle import SHUFFLED

EXAMPLES, FLIPS, LONGEST_TEXT = 5, 100, 400
ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads the numbers of a text's repetitions over all hashes


def compare_runs(first: RunRecord, second: RunRecord, store: Store) -> dict[str, Any]:
    """Return the differences between two runs, as JSON values; "data" and "tested" are a sentence if files are gone."""
    scores = {name: [its.metrics["test"][name] for its in (first, second)] for name in HEADLINES}
    result: dict[str, Any] = {
        "first": first.folder.name,
        "second": second.folder.name,
        "causes": [cause._asdict() | {"text": str(cause)} for cause in find_differences(first, second)],
        "artifacts": compare_artifacts(first.metrics, second.metrics),
        "metrics": scores,
    }
    for name, compared in (("data", compare_data), ("tested", compare_tested)):
        try:
            result[name] = compared(first, second, store)
        except PipelineError as error:
            result[name] = f"not compared: {error}"
    return result


def find_differences(first: RunRecord, second: RunRecord) -> list[Cause]:
    """Return the settings, modules, library versions and facts of the machine that differ."""
    both = first.artifacts.keys() & second.artifacts.keys()
    known = {step for step in both if all(run.artifacts[step].made_of for run in (first, second))}
    parts: list[dict[str, Any]] = []
    for run in (first, second):
        sections = run.settings.model_dump(mode="json").items()
        its = {f"setting {section}.{name}": value for section, fields in sections for name, value in fields.items()}
        made_of = {name: value for step in known for name, value in run.artifacts[step].made_of.items()}
        its |= {name: value for name, value in made_of.items() if name.startswith("module ")}
        its |= {f"library {name}": version for name, version in run.metrics["versions"].items()}
        parts.append(its | {f"machine {name}": value for name, value in run.metrics["machine"].items()})
    return find_causes(*parts)


def compare_artifacts(first: dict[str, Any], second: dict[str, Any]) -> dict[str, bool]:
    """Return whether the artifact of each step of both runs is byte-identical; the arguments are metrics.json."""
    before, after = first["artifacts"], second["artifacts"]
    return {step: its["sha256"] == after[step]["sha256"] for step, its in before.items() if step in after}


def join_texts(first: pa.Table, second: pa.Table, kind: str) -> pa.Table:
    """Join two tables of texts by "hash"; a text's repetitions are paired in the order of label and split."""
    tables = []
    for table in (first, second):
        table = table.sort_by([(name, "ascending") for name in ("hash", "split", "label")])
        hashes = table["hash"].to_numpy()
        repeated = np.arange(len(hashes)) - np.searchsorted(hashes, hashes)
        tables.append(table.append_column("key", pa.array(hashes + repeated.astype(np.uint64) * ODD)))
    return tables[0].join(tables[1], "key", join_type=kind, right_suffix="_after", use_threads=False).sort_by("key")


def compare_data(first: RunRecord, second: RunRecord, store: Store) -> dict[str, Any]:
    """Return how many texts were added, removed, relabelled and moved between splits, and examples of each."""
    folders = [folder_of(run, "download", store) for run in (first, second)]
    joined = join_texts(read_rows(folders[0]), read_rows(folders[1]), "full outer")
    kinds = {
        "added": pc.is_null(joined["hash"]),
        "removed": pc.is_null(joined["hash_after"]),
        "relabelled": pc.not_equal(joined["label"], joined["label_after"]),
        "moved": pc.not_equal(joined["split"], joined["split_after"]),
    }
    rows = {kind: joined.filter(mask) for kind, mask in kinds.items()}
    shown = [{"change": kind} | row for kind, its in rows.items() for row in its.slice(0, EXAMPLES).to_pylist()]
    texts = find_texts(folders, [its[name] for its in shown for name in ("hash", "hash_after") if its[name]])
    examples = [
        {
            "change": its["change"],
            "before": its["split"] and f"{its['split']}, {its['label']}",
            "after": its["split_after"] and f"{its['split_after']}, {its['label_after']}",
            "text": texts[its["hash"] or its["hash_after"]],
        }
        for its in shown
    ]
    return {kind: len(its) for kind, its in rows.items()} | {"examples": examples}


def read_rows(downloaded: Path) -> pa.Table:
    """Return the hash, label and split of each text of a download."""
    names, tables = pa.array(Dataset.read(downloaded).labels), []
    for split, numbers in read_labels(downloaded).items():
        columns = {"hash": hash_split(downloaded, split), "label": names.take(pa.array(numbers))}
        tables.append(pa.table(columns | {"split": pa.array([split] * len(numbers), pa.string())}))
    return pa.concat_tables(tables)


def find_texts(folders: list[Path], hashes: list[int]) -> dict[int, str | None]:
    """Return the texts with the given hashes, long ones without their start; None if their words are not known."""
    found: dict[int, str | None] = {}
    for folder, split in ((folder, split) for folder in folders for split in SHUFFLED):
        for part, texts in iterate_texts(folder, split):
            for row in np.flatnonzero(np.isin(part, np.array(hashes, np.uint64))).tolist():
                text = str(texts[row]) if texts is not None else None
                found[int(part[row])] = f"…{text[-LONGEST_TEXT:]}" if text and len(text) > LONGEST_TEXT else text
    return found


def read_tested(run: RunRecord, store: Store) -> tuple[pa.Table, np.ndarray, list[str]]:
    """Return the test texts with labels, verdicts and the true label's probability; all probabilities; all labels."""
    chosen = "select" if "select" in run.artifacts else "evaluate"  # a step of earlier versions
    downloaded, scores = folder_of(run, "download", store), read_scores(folder_of(run, chosen, store), "test")
    hashes = identify_texts(downloaded, run.settings.data).tested
    names = np.array(Dataset.read(downloaded).labels)
    verdicts = scores.verdicts(decision_rule(run.settings.evaluation, names.tolist()))
    columns = {"hash": hashes, "label": names[scores.labels], "verdict": names[verdicts], "row": np.arange(len(hashes))}
    columns |= {"given": probability_of(scores.probabilities, scores.labels), "split": np.full(len(hashes), "test")}
    return pa.table(columns), scores.probabilities, names.tolist()


def compare_tested(first: RunRecord, second: RunRecord, store: Store) -> dict[str, Any]:
    """Compare the predictions on the test texts that both runs have with the same label.

    Returns:
        "texts": their number; "only": that of others; "paired": the test of the second run against the first, null
        without texts; "flipped": how many have another prediction; "flips": these, those whose true label lost most
        probability first.
    """
    (before, old, old_names), (after, new, names) = read_tested(first, store), read_tested(second, store)
    joined = join_texts(before, after, "inner")
    only = len(before) + len(after) - 2 * len(joined)
    joined = joined.filter(pc.equal(joined["label"], joined["label_after"]))
    labels, *verdicts = (joined[name].to_numpy() for name in ("label", "verdict_after", "verdict"))
    paired: dict[str, Any] | None = compare(labels, *verdicts) if len(joined) else None
    metric = second.settings.evaluation.metric
    if paired and metric not in (None, "accuracy") and old_names == names:
        shares = np.stack([new[joined["row_after"].to_numpy()], old[joined["row"].to_numpy()]])
        numbers = [np.array([names.index(name) for name in its]) for its in (labels, *verdicts)]
        if not missing_labels(metric, numbers[0], len(names)):
            paired |= compare_metric(metric, numbers[0], np.stack(numbers[1:]), shares)
    joined = joined.append_column("lost", pc.subtract(joined["given"], joined["given_after"]))
    flipped = joined.filter(pc.not_equal(joined["verdict"], joined["verdict_after"])).sort_by([("lost", "descending")])
    shown = flipped.slice(0, FLIPS).to_pylist()
    texts = find_texts([folder_of(second, "download", store)], [its["hash"] for its in shown])
    named = ("label", "verdict", "verdict_after", "given", "given_after")
    flips = [{name: its[name] for name in named} | {"text": texts[its["hash"]]} for its in shown]
    return {"texts": len(joined), "only": only, "paired": paired, "flipped": len(flipped), "flips": flips}
