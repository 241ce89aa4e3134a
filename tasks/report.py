"""Report: the figures of a run, its worst mistakes as text, and how it compares with the baseline."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task

from tasks.core.caching import BY_CONTENT, keep, path_of
from tasks.core.settings import JudgingSettings
from tasks.core.store import Artifact
from tasks.judging.metrics import METRICS
from tasks.judging.scores import Scores, read_scores
from tasks.network.trained import read_training
from tasks.reviews.encoded import (
    count_encoded,
    encoded_file,
    iterate_encoded,
    read_encoding,
    read_vocabulary,
    read_words,
)
from tasks.reviews.text import START, ids_to_words
from tasks.showing.figures import draw_learning_curves, draw_rankings, draw_scores, draw_verdicts, save_figure

MISTAKES, LONGEST_TEXT = 10, 150


def worst_mistakes(encoded: Path, scores: Scores, threshold: float) -> list[dict[str, Any]]:
    """Return the reviews that the network got wrong with the most confidence, the worst first.

    Args:
        encoded: a folder with test.parquet, its rows in the order of the scores, and the vocabulary.
        scores: of the test reviews.
        threshold: probability from which a review counts as positive.

    Returns:
        At most ten of {"row", "label", "probability", "words", "text"}; the text is the end of a long review, and null
        where the download had no word index.
    """
    labels, probabilities = scores.labels, scores.probabilities
    wrong = np.flatnonzero(scores.verdicts(threshold) != labels)
    gaps = np.abs(probabilities[wrong].astype(np.float64) - labels[wrong])
    worst = wrong[np.argsort(-gaps, kind="stable")][:MISTAKES]
    ids = read_rows(encoded_file(encoded, "test"), worst)
    vocabulary, encoding = read_vocabulary(encoded), read_encoding(encoded)
    marks = encoding.model_dump(include={"start_char", "oov_char", "index_from"})
    mistakes = []
    for row in worst.tolist():
        words = [word for word in ids_to_words(ids[row], vocabulary, **marks) if word != START] if vocabulary else []
        shown = ["…", *words[-LONGEST_TEXT:]] if len(words) > LONGEST_TEXT else words
        mistakes.append(
            {
                "row": row,
                "label": int(labels[row]),
                "probability": float(probabilities[row]),
                "words": len(ids[row]) - (encoding.start_char is not None),
                "text": " ".join(shown) if vocabulary else None,
            }
        )
    return mistakes


def read_rows(path: Path, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Return the token ids of some rows of an encoded file, by row number."""
    found, first = {}, 0
    for batch in iterate_encoded(path, 0, count_encoded(path)):
        for row in rows[(rows >= first) & (rows < first + len(batch))].tolist():
            found[row] = np.asarray(batch.column("tokens")[row - first].values)
        first += len(batch)
    return found


def describe_fit(history: list[dict[str, Any]], best_epoch: int) -> str:
    """Say in words whether training went on too long, or not long enough."""
    best, last = history[best_epoch - 1], history[-1]
    if best_epoch < len(history):
        return (
            f"It overfits after epoch {best_epoch}: by epoch {last['epoch']} the loss on the validation reviews has "
            f"risen from {best['val_loss']:.3f} to {last['val_loss']:.3f}, while on the training reviews it fell from "
            f"{best['loss']:.3f} to {last['loss']:.3f}. --training.keep-best keeps the weights of epoch {best_epoch}."
        )
    if len(history) == 1:
        return "One epoch tells nothing of overfitting yet."
    return (
        f"The loss on the validation reviews was still falling at the last epoch ({last['val_loss']:.3f}): "
        "more epochs may do better."
    )


def describe_comparison(comparison: dict[str, Any], other: str, alpha: float = 0.05) -> str:
    """Say in words whether the network is better than another classifier of the same reviews."""
    points, p_value = 100 * comparison["difference"], comparison["p_value"]
    test = f"McNemar's exact test, p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"
    counts = (
        f"it alone is right on {comparison['only_first']:,} reviews, {other} alone on {comparison['only_second']:,}"
    )
    if p_value >= alpha:
        return f"The network and {other} cannot be told apart ({points:+.2f} points; {counts}; {test})."
    verdict = "better" if points > 0 else "worse"
    return f"The network is {verdict} than {other} by {abs(points):.2f} points of accuracy: {counts} ({test})."


def draw_report(
    trained: Path,
    evaluated: Path,
    baselined: Path,
    judged: Path,
    encoded: Path,
    settings: JudgingSettings,
    folder: Path,
) -> dict[str, Any]:
    """Write every figure of a run, and findings.json: mistakes, words and sentences.

    Returns:
        {"figures": their names in the order in which they are shown}.
    """
    training, metrics = read_training(trained), json.loads((judged / METRICS).read_text())
    network, baseline = read_scores(evaluated, "test"), read_scores(baselined, "test")
    labels, probabilities, test = network.labels, network.probabilities, metrics["test"]
    classifiers = [("network", labels, probabilities), ("linear baseline", labels, baseline.probabilities)]
    figures = {
        "learning_curves": draw_learning_curves(training.history, training.best_epoch),
        "rankings": draw_rankings(classifiers),
        "verdicts": draw_verdicts(test["confusion"], labels, probabilities, settings.calibration_bins),
        "scores": draw_scores(labels, probabilities, settings.threshold, test["by_length"]),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.svg", title=name.replace("_", " "))
    findings = {
        "sentences": {
            "fit": describe_fit(training.history, training.best_epoch),
            "baseline": describe_comparison(metrics["baseline"]["comparison"], "the linear baseline"),
        },
        "words": read_words(encoded),
        "mistakes": worst_mistakes(encoded, network, settings.threshold),
    }
    (folder / "findings.json").write_text(json.dumps(findings, indent=1))
    return {"figures": [f"{name}.svg" for name in figures]}


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="report")
def report(
    trained: Artifact,
    evaluated: Artifact,
    baselined: Artifact,
    judged: Artifact,
    encoded: Artifact,
    settings: JudgingSettings,
) -> Artifact:
    """Draw the figures of a run, and put into words what they show."""
    paths = path_of(trained), path_of(evaluated), path_of(baselined), path_of(judged), path_of(encoded)
    return keep(lambda folder: draw_report(*paths, settings, folder))
