"""Findings: everything that is wrong or odd with a download's texts, as numbers, and the rows to look at."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.core.command_settings import CheckLimits
from tasks.core.layout import CHECK, SUSPECTS
from tasks.data_checks.giveaways import Giveaway, find_giveaways
from tasks.data_checks.read_texts import PLACES, CheckedTexts, read_checked
from tasks.data_checks.text_statistics import (
    describe_split,
    first_mates,
    is_conflicting,
    measure_scripts,
    measure_shifts,
    number_repeats,
)
from tasks.texts.dataset_info import Dataset
from tasks.texts.padded import SPLITS
from tasks.texts.sources.splits import TEST, hash_all
from tasks.texts.tables.writing import write_csv
from tasks.texts.vocabulary import scripts_of

MAX_SEARCHED = 6_000_000
VERY_LONG = 10  # times the 95th percentile
ELSEWHERE = " in another split"


def check_texts(downloaded: Path, folder: Path) -> dict[str, Any]:
    """Write check.json and suspects.csv on a download into `folder`, and return the findings; see docs/metrics.md."""
    texts, dataset = read_checked(downloaded), Dataset.read(downloaded)
    lengths, rows = np.diff(texts.bounds), len(texts.labels)
    scripts, counts = scripts_of(texts.vocabulary), np.bincount(texts.words, minlength=len(texts.vocabulary))
    flags, mates = flag_rows(texts, lengths)
    giveaways, total = search_giveaways(texts, lengths, scripts)
    findings: dict[str, Any] = {
        "dataset": dataset.name,
        "rows": {"all": texts.total, "checked": rows},
        "splits": {
            PLACES[place]: describe_split(
                texts.labels[texts.splits == place], lengths[texts.splits == place], dataset.labels
            )
            for place in np.unique(texts.splits).tolist()
        },
        "scripts": measure_scripts(scripts, texts.vocabulary, counts),
        "flagged": {name: {"rows": int(its.sum()), "share": float(its.mean())} for name, its in flags.items()},
        "giveaways": [one._asdict() | {"label": dataset.labels[one.label]} for one in giveaways],
        "all_giveaways": total,
        "shifts": measure_shifts(texts.words, lengths, texts.splits, len(texts.vocabulary)),
    }
    for one in findings["giveaways"]:
        del one["suspects"]
    (folder / CHECK).write_text(json.dumps(findings, indent=1))
    suspects = list_suspects(texts, flags, mates, giveaways, dataset.labels)
    write_csv(folder / SUSPECTS, suspects.schema, [suspects])
    return findings


def flag_rows(texts: CheckedTexts, lengths: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return which rows have each finding, (n,) bool, and of those that repeat another the row that they repeat."""
    hashes = hash_all(word.encode() for word in texts.vocabulary)
    equal, near = (first_mates(its, texts.splits) for its in number_repeats(texts.words, texts.bounds, hashes))
    rows, has_words, split = np.arange(len(lengths)), lengths > 0, texts.splits % len(SPLITS)  # removed: training
    flags = texts.damaged | {
        "without words": ~has_words,
        "very long": lengths > VERY_LONG * np.quantile(lengths, 0.95),
        "equal text with another label": has_words & is_conflicting(equal, texts.labels),
    }
    mates = dict[str, np.ndarray]()
    for name, of, repeats in (("duplicate", equal, equal != rows), ("near-duplicate", near, near != rows)):
        repeats = repeats & has_words & (of is equal or equal == rows)
        flags |= {name: repeats & (split == split[of]), name + ELSEWHERE: repeats & (split != split[of])}
        mates |= {name: of, name + ELSEWHERE: of}
    return flags, mates


def search_giveaways(texts: CheckedTexts, lengths: np.ndarray, scripts: list[str]) -> tuple[list[Giveaway], int]:
    """Return the result of `find_giveaways`; of many words only in the rows that are not for testing."""
    searched = (texts.splits != TEST) | (len(texts.words) <= MAX_SEARCHED)
    words, bounds = texts.words[np.repeat(searched, lengths)], np.append(0, np.cumsum(lengths[searched]))
    found, total = find_giveaways(words, bounds, texts.vocabulary, scripts, texts.labels[searched])
    return [one._replace(suspects=np.flatnonzero(searched)[one.suspects]) for one in found], total


def list_suspects(
    texts: CheckedTexts,
    flags: dict[str, np.ndarray],
    mates: dict[str, np.ndarray],
    giveaways: list[Giveaway],
    names: tuple[str, ...],
) -> pa.Table:
    """Return file, row, split, text, label and finding of the rows to look at."""
    found = [(name, np.flatnonzero(its)) for name, its in flags.items()]
    found += [(f"{one.phrase!r} means {names[one.label]}", one.suspects) for one in giveaways]
    rows = np.concatenate([its for _name, its in found])
    mated = np.concatenate([mates[name][its] if name in mates else its for name, its in found])
    said = np.repeat([name for name, _its in found], [len(its) for _name, its in found]).tolist()
    needed = np.union1d(rows, mated)
    origins = texts.origins(needed)
    named = origins.select(["file", "row"]).take(np.searchsorted(needed, mated)).to_pylist()
    for place, (name, mate, label) in enumerate(zip(said, named, texts.labels[mated].tolist(), strict=True)):
        if name in mates:
            said[place] = f"{name} of {mate['file']} row {mate['row']}, labelled {names[label]}"
    table = origins.take(np.searchsorted(needed, rows))
    columns = {
        "split": pa.array(PLACES).take(pa.array(texts.splits[rows])),
        "text": table["text"],
        "label": pa.array(names).take(pa.array(texts.labels[rows])),
        "finding": pa.array(said, pa.string()),
    }
    return pa.table({"file": table["file"], "row": table["row"], **columns})


def find_exceeded(findings: dict[str, Any], limits: CheckLimits) -> list[str]:
    """Return a line on each finding that exceeds its limit."""
    found = [
        (name, its["share"], "max_leaks" if " another " in name else "max_share")
        for name, its in findings["flagged"].items()
    ]
    found += [(f"{its['phrase']!r} gives away {its['label']}", its["coverage"], "max_giveaway")
              for its in findings["giveaways"]]  # fmt: skip
    found += [(f"shift of {name} in {split}", value, "max_shift")
              for split, its in findings["shifts"].items() for name, value in its.items()]  # fmt: skip
    return [
        f"{name}: {value:.3g}, more than --{setting.replace('_', '-')} {limit:g}"
        for name, value, setting in found
        if value > (limit := getattr(limits, setting))
    ]
