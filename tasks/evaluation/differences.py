"""Differences between two runs: settings, code, texts, metrics, and test texts whose prediction flipped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.errors import PipelineError
from tasks.evaluation.metrics import HEADLINES, compare
from tasks.evaluation.scores import decision_rule, probability_of, read_scores
from tasks.evaluation.selection_metric import compare_metric
from tasks.store.causes import Cause, find_causes
from tasks.store.run_record import RunRecord, folder_of
from tasks.store.store import Store
from tasks.texts.dataset import TEXTS, Dataset
from tasks.texts.downloaded import identify_texts, iterate_column, iterate_texts
from tasks.texts.shuffle import SHUFFLED
from tasks.texts.sources import imdb

EXAMPLES, FLIPS, LONGEST_TEXT = 5, 100, 400
ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads the numbers of a text's repetitions over all hashes


@dataclass(frozen=True)
class Rows:
    """n texts.

    Attributes:
        hashes: (n,) uint64, as in `Identities`.
        labels: (n,) names.
        splits: (n,) names.
    """

    hashes: np.ndarray
    labels: np.ndarray
    splits: np.ndarray

    @property
    def keys(self) -> np.ndarray:
        """(n,) uint64, distinct: the hashes, other ones for repetitions of a text."""
        order = np.lexsort((self.labels, self.splits, self.hashes))
        ordered = self.hashes[order]
        keys = np.empty_like(ordered)
        repeated = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
        keys[order] = ordered + repeated.astype(np.uint64) * ODD
        return keys


@dataclass(frozen=True)
class Tested:
    """The test texts of a run, in the order in which they were scored, and the predictions.

    Attributes:
        rows: the texts.
        names: the labels from label 0 on.
        verdicts: (n,) predicted labels, from 0.
        probabilities: (n,) or (n, labels), as in `Scores`.
        given: (n,) probabilities of the true labels.
    """

    rows: Rows
    names: tuple[str, ...]
    verdicts: np.ndarray
    probabilities: np.ndarray
    given: np.ndarray


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
    known = {step for step, its in first.artifacts.items() if its.made_of and second.artifacts[step].made_of}
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


def compare_data(first: RunRecord, second: RunRecord, store: Store) -> dict[str, Any]:
    """Return how many texts were added, removed, relabelled and moved between splits, and examples of each."""
    kinds = ("added", "removed", "relabelled", "moved")
    if first.artifacts["download"].sha256 == second.artifacts["download"].sha256:
        return dict.fromkeys(kinds, 0) | {"examples": []}
    folders = [folder_of(run, "download", store) for run in (first, second)]
    before, after = map(read_rows, folders)
    _, at, to = np.intersect1d(before.keys, after.keys, assume_unique=True, return_indices=True)
    other_label, other_split = before.labels[at] != after.labels[to], before.splits[at] != after.splits[to]
    removed, added = np.delete(np.arange(len(before.hashes)), at), np.delete(np.arange(len(after.hashes)), to)
    changes = {
        "added": [(None, row) for row in added[:EXAMPLES]],
        "removed": [(row, None) for row in removed[:EXAMPLES]],
        "relabelled": list(zip(at[other_label][:EXAMPLES], to[other_label][:EXAMPLES], strict=True)),
        "moved": list(zip(at[other_split][:EXAMPLES], to[other_split][:EXAMPLES], strict=True)),
    }
    pairs = [(kind, *pair) for kind in kinds for pair in changes[kind]]
    hashes = [before.hashes[old] if new is None else after.hashes[new] for _, old, new in pairs]
    texts = find_texts(folders, np.array(hashes, np.uint64))
    counts = (len(added), len(removed), int(other_label.sum()), int(other_split.sum()))

    def place(rows: Rows, row: int | None) -> str | None:
        return None if row is None else f"{rows.splits[row]}, {rows.labels[row]}"

    examples = [
        {"change": kind, "before": place(before, old), "after": place(after, new), "text": texts[int(its)]}
        for (kind, old, new), its in zip(pairs, hashes, strict=True)
    ]
    return dict(zip(kinds, counts, strict=True)) | {"examples": examples}


def read_rows(downloaded: Path) -> Rows:
    """Read the texts of a download, without their words."""
    hashes, labels, splits = [np.zeros(0, np.uint64)], [np.zeros(0, np.int16)], []
    for split in SHUFFLED:
        parts = [part for part, _ in iterate_texts(downloaded, split, with_texts=False)]
        hashes += parts
        splits += [split] * sum(map(len, parts))
        if not (downloaded / imdb.NPZ).exists():
            labels += iterate_column(downloaded / TEXTS, split, "label")
        elif parts:
            labels.append(imdb.read_ranks(downloaded / imdb.NPZ, split)[1])
    names = np.array(Dataset.read(downloaded).labels)
    return Rows(np.concatenate(hashes), names[np.concatenate(labels)], np.array(splits))


def find_texts(folders: list[Path], hashes: np.ndarray) -> dict[int, str | None]:
    """Return the texts with the given hashes, long ones without their start; None if their words are not known."""
    found: dict[int, str | None] = {}
    for folder, split in ((folder, split) for folder in folders for split in SHUFFLED):
        for part, texts in iterate_texts(folder, split):
            for row in np.flatnonzero(np.isin(part, hashes)).tolist():
                text = str(texts[row]) if texts is not None else None
                found[int(part[row])] = f"…{text[-LONGEST_TEXT:]}" if text and len(text) > LONGEST_TEXT else text
    return found


def read_tested(run: RunRecord, store: Store) -> Tested:
    """Read the test texts of a run and the predictions of its model."""
    downloaded, scores = folder_of(run, "download", store), read_scores(folder_of(run, "select", store), "test")
    hashes = identify_texts(downloaded, run.settings.data.shuffle_seed, run.settings.data.max_reviews).tested
    names = Dataset.read(downloaded).labels
    rows = Rows(hashes, np.array(names)[scores.labels], np.full(len(hashes), "test"))
    verdicts = scores.verdicts(decision_rule(run.settings.evaluation, names))
    return Tested(rows, names, verdicts, scores.probabilities, probability_of(scores.probabilities, scores.labels))


def compare_tested(first: RunRecord, second: RunRecord, store: Store) -> dict[str, Any]:
    """Compare the predictions on the test texts of both runs.

    Returns:
        "texts": of both with the same label; "only": those of one run; "paired": the test of the second run against the
        first, null without texts; "flips": texts with another prediction, those whose true label lost most probability
        first; "flipped": how many.
    """
    before, after = read_tested(first, store), read_tested(second, store)
    _, at, to = np.intersect1d(before.rows.keys, after.rows.keys, assume_unique=True, return_indices=True)
    same = before.rows.labels[at] == after.rows.labels[to]
    at, to = at[same], to[same]
    labels, old, new = after.rows.labels[to], *(np.array(its.names)[its.verdicts] for its in (before, after))
    old, new = old[at], new[to]
    paired: dict[str, Any] | None = compare(labels, new, old) if len(to) else None
    metric = second.settings.evaluation.metric
    if paired and metric not in (None, "accuracy") and before.names == after.names:
        verdicts = np.stack([after.verdicts[to], before.verdicts[at]])
        shares = np.stack([after.probabilities[to], before.probabilities[at]])
        paired |= compare_metric(metric, np.array([after.names.index(label) for label in labels]), verdicts, shares)
    flipped = np.flatnonzero(old != new)
    worst = flipped[np.argsort((after.given[to] - before.given[at])[flipped], kind="stable")][:FLIPS]
    hashes = after.rows.hashes[to][worst]
    texts = find_texts([folder_of(second, "download", store)], hashes)
    flips = [
        {
            "label": str(labels[row]),
            "before": str(old[row]),
            "after": str(new[row]),
            "given_before": float(before.given[at[row]]),
            "given_after": float(after.given[to[row]]),
            "text": texts[int(its)],
        }
        for row, its in zip(worst, hashes, strict=True)
    ]
    only = len(before.rows.hashes) + len(after.rows.hashes) - 2 * len(to)
    return {"texts": len(to), "only": only, "paired": paired, "flipped": len(flipped), "flips": flips}
