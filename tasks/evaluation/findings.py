"""Findings: a run and a comparison in words: mistakes, confused labels, and what the metrics mean."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.data_settings import OrderSettings
from tasks.evaluation.candidates import Candidates
from tasks.evaluation.predictions import Rule, Scores, confidence_of
from tasks.evaluation.selection_metric import as_cost, show_leads
from tasks.texts.downloaded import read_labels, read_rows
from tasks.texts.encoded import Encoding
from tasks.texts.shuffle import order_texts
from tasks.texts.tables.table_files import name_few
from tasks.texts.tokenising import tokenise

ReadTexts = Callable[[np.ndarray], list[dict[str, Any]]]  # `read_texts` for one run: takes (n,) row numbers
MISTAKES, PAIRS, LONGEST_TEXT = 10, 5, 900
ALPHA = 0.05
# The columns of the table of a comparison; all except the first are numbers.
COLUMNS = ("network", "validation loss", "test accuracy, 95% interval", "parameters", "s per epoch", "s to best")


def worst_mistakes(read: ReadTexts, scores: Scores, names: Sequence[str], rule: Rule) -> list[dict[str, Any]]:
    """Return the at most ten wrong test texts with the highest confidence, the worst first, as `describe_rows` does."""
    wrong = np.flatnonzero(scores.verdicts(rule) != scores.labels)
    order = np.argsort(-confidence_of(scores.probabilities[wrong], rule), kind="stable")
    return describe_rows(read, scores, names, rule, wrong[order][:MISTAKES])


def describe_rows(
    read: ReadTexts, scores: Scores, names: Sequence[str], rule: Rule, rows: np.ndarray
) -> list[dict[str, Any]]:
    """Return some test texts and the verdicts on them.

    Returns:
        For each {"row", "label", "verdict", "probability": with two labels of the positive one, else of the verdict,
        "words": their number, "text"}; the text is the end of a long one, and null if the download had no word index.
    """
    verdicts, shown = scores.verdicts(rule), scores.probabilities
    if shown.ndim == 2:
        shown = confidence_of(shown, rule)
    return [
        {
            "row": row,
            "label": names[scores.labels[row]],
            "verdict": names[verdicts[row]],
            "probability": float(shown[row]),
            **text,
        }
        for row, text in zip(rows.tolist(), read(rows), strict=True)
    ]


def most_confused(read: ReadTexts, scores: Scores, names: Sequence[str], rule: Rule) -> list[dict[str, Any]]:
    """Return the pairs of labels that the network confuses most often, with more than two labels.

    Returns:
        At most five of {"labels": both names, "reviews", "examples": for each direction the most confident case, as
        `describe_rows` does}.
    """
    verdicts = scores.verdicts(rule)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (scores.labels, verdicts), 1)
    both = np.triu(counts + counts.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(place, len(names)) for place in order.tolist() if both.flat[place]]
    ways = [way for one, other in pairs for way in ((one, other), (other, one)) if counts[way]]
    surest = np.array([surest_case(scores, verdicts, *way) for way in ways], np.int64)
    cases = dict(zip(ways, describe_rows(read, scores, names, rule, surest), strict=True))
    return [
        {
            "labels": [names[one], names[other]],
            "reviews": int(both[one, other]),
            "examples": [cases[way] for way in ((one, other), (other, one)) if way in cases],
        }
        for one, other in pairs
    ]


def surest_case(scores: Scores, verdicts: np.ndarray, label: int, verdict: int) -> int:
    """Return the row of the most confident wrong verdict on a text of a label."""
    rows = np.flatnonzero((scores.labels == label) & (verdicts == verdict))
    return int(rows[scores.probabilities[rows, verdict].argmax()])


def read_texts(encoded: Path, downloaded: Path, settings: OrderSettings, rows: np.ndarray) -> list[dict[str, Any]]:
    """Return {"words": their number, "text"} of some test texts, in the order of `rows`; of long ones the end."""
    order = order_texts(read_labels(downloaded), settings)["test"]  # in which they were scored
    rising, places = np.unique(order[rows], return_inverse=True)
    texts = read_rows(downloaded, "test", rising)["text"].take(pa.array(places))
    words = pc.list_value_length(tokenise(texts.fill_null(""), Encoding.read(encoded).tokenisation))
    return [
        {"words": count, "text": f"…{text[-LONGEST_TEXT:]}" if text and len(text) > LONGEST_TEXT else text}
        for count, text in zip(words.to_pylist(), texts.to_pylist(), strict=True)
    ]


def describe_results(metrics: dict[str, Any]) -> dict[str, str]:
    """Return sentences on what was derived, the choice of the model, its baseline and training, from metrics.json."""
    return {
        "unpredicted": describe_unpredicted(metrics["test"]),
        "derived": describe_derived(metrics["derived"]),
        "choice": describe_choice(Candidates.model_validate(metrics["candidates"])),
        "baseline": describe_comparison(metrics["baseline"]["comparison"], second=name_baseline(metrics)),
        "fit": describe_fit(metrics["history"], metrics["model"]["best_epoch"]),
    }


def describe_unpredicted(test: dict[str, Any]) -> str:
    """Return a sentence on the labels that the model never predicts, or an empty one."""
    predicted = np.sum(test["confusion"], axis=0)
    names = [repr(its["label"]) for its, texts in zip(test["by_label"], predicted, strict=True) if not texts]
    return f"The model never predicts {name_few(names)}, although there are such test texts." if names else ""


def describe_fit(history: list[dict[str, Any]], best_epoch: int) -> str:
    """Return a sentence on whether training was too long or short; `best_epoch` is the one that `keep_best` keeps."""
    best, last = min(history, key=lambda epoch: float(epoch["val_loss"])), history[-1]
    lowest, final, before, now = (f"{its[name]:.3f}" for name in ("val_loss", "loss") for its in (best, last))
    if len(history) == 1:
        return "One epoch is not enough to see overfitting."
    if best is last:
        return f"The validation loss was still falling at the last epoch ({final}): more epochs may help."
    if float(final) <= float(lowest) or float(now) >= float(before):
        return (
            f"The validation loss was lowest after epoch {best['epoch']} ({lowest}), and is {final} after epoch "
            f"{last['epoch']}: more epochs are unlikely to help."
        )
    why = "" if best_epoch == best["epoch"] else ", the best by evaluation.metric"
    advice = f" --training.keep-best keeps the weights of epoch {best_epoch}{why}."
    return (
        f"The network overfits after epoch {best['epoch']}: by epoch {last['epoch']} the validation loss rose from "
        f"{lowest} to {final}, while the training loss fell from {before} to {now}."
        f"{advice if best_epoch < last['epoch'] else ''}"
    )


def describe_derived(derived: dict[str, Any]) -> str:
    """Return a line about what the steps derived from the texts."""
    folds = f"{derived['folds']} folds, " if derived["folds"] else ""
    passes = f" of {derived['passes']} passes" if derived["passes"] > 1 else ""
    return (
        f"Derived from the texts: {derived['validation_texts']:,} validation texts ({derived['validation']}), "
        f"{folds}{derived['epochs']} {'epoch' if derived['epochs'] == 1 else 'epochs'}{passes}, inverse penalty "
        f"{derived['inverse_penalty']:g} of the linear model."
    )


def describe_choice(candidates: Candidates) -> str:
    """Return a sentence on which model is packaged, with the figures of all on the validation texts."""
    measured = {"network": candidates.network, "linear model": candidates.linear}
    loss = "" if candidates.metric == "log_loss" else " (log loss {:.4f})"
    figures = ", ".join(f"{its.value:.4f}{loss.format(its.log_loss)} of the {name}" for name, its in measured.items())
    chosen = "linear model" if candidates.chosen == "linear" else candidates.chosen
    said = f"The {chosen} serves: validation {candidates.metric} {figures}"
    if candidates.considered == "network":
        return f"{said}; --promotion.candidates best considers the linear model too."
    if chosen == "network":
        return f"{said}: better by more than one standard error of either."
    return f"{said}: not better by more than one standard error. --promotion.candidates network insists on the network."


def name_baseline(metrics: dict[str, Any]) -> str:
    """Return what the network is compared with: the baseline as it was fitted, also if the models are calibrated."""
    by_labels = metrics["baseline"]["comparison"]["metric"] == "accuracy"
    return "linear baseline" if by_labels or "temperature" not in metrics else "uncalibrated linear baseline"


def describe_comparison(comparison: dict[str, Any], second: str = "linear baseline") -> str:
    """Return a sentence on whether the network is better than another model on the same texts."""
    difference, p_value, metric = comparison["difference"], comparison["p_value"], comparison["metric"]
    unit, lead, low, high = show_leads(metric, difference, *comparison["ci95"])
    name = "McNemar's exact test" if metric == "accuracy" else "paired permutation test"
    test = f"95% interval {low} to {high}; {name}, p "
    test += "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
    counts = f"only the network is right on {comparison['only_first']:,} texts, only the {second} on "
    counts += f"{comparison['only_second']:,}"
    if p_value >= ALPHA:
        verdict = f"do not differ significantly ({lead} {unit}; {counts}; {test})"
        return f"The network and the {second} {verdict}."
    verdict = f"{'better' if difference > 0 else 'worse'} than the {second} by {lead[1:]} {unit}"
    return f"The network is {verdict}: {counts} ({test})."


def describe_row(member: dict[str, Any]) -> list[str]:
    """Return a member's cells of the table, with one or two lines each; ± precedes a standard deviation."""
    summary = member["summary"]
    if summary is None:
        return [member["name"], "failed", *("" for _ in range(len(COLUMNS) - 2))]
    low, high = summary["ci95"]
    several = summary["accuracy_spread"] is not None
    loss_spread = f"\n± {summary['validation_spread']:.4f}" if several else ""
    spread = f" ± {summary['accuracy_spread']:.4f}" if several else ""
    return [
        member["name"],
        f"{summary['validation_loss']:.4f}{loss_spread}",
        f"{summary['accuracy']:.4f}{spread}\n{low:.4f} to {high:.4f}",
        f"{summary['parameters']:,}",
        f"{summary['seconds']:.1f}",
        f"{summary['seconds_to_best']:.1f}",
    ]


def describe_chosen(comparison: dict[str, Any]) -> str:
    """Return sentences on the chosen network, and on the others that differ from it significantly."""
    name = comparison["chosen"]
    if name is None:
        return "No network could be trained, so none is chosen."
    summary, metric = comparison["members"][0]["summary"], comparison["metric"]
    measured = f"{f'best {metric}' if metric else 'lowest loss'} ({as_cost(metric, summary['cost']):.4f})"
    chosen = (
        f"The validation texts choose {name}, with the {measured}; "
        f"it is right on {100 * summary['accuracy']:.2f}% of the test texts."
    )
    better, worse = "On these it is significantly better than", "On these it is significantly worse than"
    alike = "It does not differ significantly from"
    others: dict[str, list[str]] = {better: [], worse: [], alike: []}
    for pair in comparison["pairs"]:
        if pair["first"] == name:  # the chosen one ranks first, so it is the first of all its pairs
            verdict = alike if pair["adjusted"] >= ALPHA else better if pair["difference"] > 0 else worse
            others[verdict].append(pair["second"])
    return " ".join([chosen, *(f"{words} {', '.join(names)}." for words, names in others.items() if names)])


def describe_sight(comparison: dict[str, Any]) -> str:
    """Return sentences on the test figures that were seen, and on what that means for a choice."""
    finished = [member for member in comparison["members"] if member["summary"]]
    words = (
        f"The choice uses the validation texts alone, although the test figures of all {len(finished)} finished "
        "networks are shown. A choice by test accuracy from this table would be partly luck, and would need a new test "
        "on unseen texts."
    )
    if comparison["search"]:
        words += (
            f" Of the {len(comparison['search']['trials'])} trials of the search only the one with the best "
            f"validation {comparison['metric'] or 'loss'} was tested; no test figure of the others exists."
        )
    data = [member["settings"]["data"] for member in finished]
    if len({(settings["validation_split"], settings["whole_groups"]) for settings in data}) > 1:
        words += (
            " Not all were validated on the same texts (data.validation_split, data.whole_groups), so small "
            "differences between their losses mean nothing."
        )
    return words
