"""Plots: a run's results as Matplotlib figures, saved as reproducible SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.evaluation.metrics import bin_of
from tasks.evaluation.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#3b6ea8", "#d1662c", "#888888"

FEW_LABELS = 4  # a small confusion matrix
MOST_CURVES, MOST_LABELS_SHOWN, LONGEST_NAME = 10, 20, 18

# A curve's name, (n,) whether each text is one to be found, and (n,) the probability that it is.
Ranking = tuple[str, np.ndarray, np.ndarray]


def save_figure(figure: "Figure", path: Path, title: str) -> None:
    """Write a figure as SVG, with a title for screen readers."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Title": title})


def side_by_side(*widths: float, height: float = 3.7) -> "tuple[Figure, list[Axes]]":
    """Return a figure with axes of the given relative widths."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, height), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for drawn in axes:
        drawn.grid(alpha=0.25)
        drawn.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def draw_learning_curves(history: list[dict[str, Any]], best_epoch: int) -> "Figure":
    """Draw training and validation loss and accuracy by epoch, with the best epoch marked."""
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch["epoch"] for epoch in history]
    figure, both = side_by_side(1, 1, height=3.4)
    for axes, name in zip(both, ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [epoch[name] for epoch in history], "o-", color=BLUE, label="training")
        axes.plot(epochs, [epoch[f"val_{name}"] for epoch in history], "o-", color=ORANGE, label="validation")
        axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best epoch ({best_epoch})")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False)
    return figure


def draw_rankings(rankings: list[Ranking]) -> "Figure":
    """Draw ROC and precision-recall curves, over all thresholds."""
    import matplotlib as mpl
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    colors = (BLUE, ORANGE) if len(rankings) <= 2 else mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    figure, (roc, pr) = side_by_side(1, 1)
    roc.plot([0, 1], [0, 1], ":", color=GREY, label="chance")
    for (name, hits, probabilities), color in zip(rankings, colors, strict=False):
        false_positive, true_positive, _thresholds = roc_curve(hits, probabilities)
        area = auc(false_positive, true_positive)
        roc.plot(false_positive, true_positive, color=color, label=f"{name}, area {area:.3f}")
        precision, recall, _thresholds = precision_recall_curve(hits, probabilities)
        average = average_precision_score(hits, probabilities)
        pr.plot(recall, precision, color=color, label=f"{name}, average precision {average:.3f}")
    if len(rankings) == 2:
        pr.axhline(rankings[0][1].mean(), linestyle=":", color=GREY, label="chance")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    pr.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(None, 1.01))
    size = None if len(rankings) <= 2 else 7
    roc.legend(frameon=False, loc="lower right", fontsize=size)
    pr.legend(frameon=False, loc="lower left", fontsize=size)
    return figure


def draw_verdicts(confusion: list[list[int]], names: Sequence[str], scores: Scores, bins: int) -> "Figure":
    """Draw the confusion matrix and the reliability diagram.

    With two labels the probability is that of the second one, with more that of the verdict.
    """
    counts, shown = gather_rare(np.array(confusion), names)
    many = len(shown) > FEW_LABELS
    figure, (matrix, reliability) = side_by_side(*((1.7, 1) if many else (1, 1.2)), height=5.5 if many else 3.7)
    draw_matrix(matrix, counts, shown)
    if scores.probabilities.ndim == 1:
        hits, probabilities, of_what = scores.labels, scores.probabilities, f"{names[1]} texts"
    else:
        probabilities = scores.probabilities.max(axis=1)
        hits, of_what = scores.probabilities.argmax(axis=1) == scores.labels, "right verdicts"
    place = bin_of(probabilities, bins)
    number = np.bincount(place, minlength=bins)
    filled = number > 0
    given = np.bincount(place, weights=probabilities, minlength=bins)[filled] / number[filled]
    share = np.bincount(place, weights=hits, minlength=bins)[filled] / number[filled]
    reliability.plot([0, 1], [0, 1], ":", color=GREY, label="perfectly calibrated")
    reliability.scatter(given, share, s=300 * number[filled] / number.max() + 8, color=BLUE, alpha=0.35, linewidths=0)
    reliability.plot(given, share, "-", color=BLUE, label="this network (area: texts)")
    reliability.set(title="Reliability", xlabel="probability given", ylabel=f"share of {of_what}")
    reliability.legend(frameon=False, loc="upper left")
    return figure


def gather_rare(counts: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return a confusion matrix of the 20 most frequent labels and one for the rest, and their names."""
    if len(names) <= MOST_LABELS_SHOWN:
        return counts, list(names)
    frequent = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_LABELS_SHOWN])
    place = np.full(len(names), MOST_LABELS_SHOWN)
    place[frequent] = np.arange(MOST_LABELS_SHOWN)
    gathered = np.zeros((MOST_LABELS_SHOWN + 1,) * 2, counts.dtype)
    np.add.at(gathered, (place[:, None], place[None, :]), counts)
    return gathered, [*(names[label] for label in frequent), f"{len(names) - MOST_LABELS_SHOWN} others"]


def draw_matrix(axes: "Axes", counts: np.ndarray, names: list[str]) -> None:
    """Draw a confusion matrix, one row per label and one column per verdict."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares if len(names) > FEW_LABELS else counts, cmap="Blues", vmin=0)
    axes.grid(visible=False)
    size = 13 if len(names) <= FEW_LABELS else max(4, 90 // len(names))
    for (row, column), count in np.ndenumerate(counts):
        is_dark = shares[row, column] > 0.5 if len(names) > FEW_LABELS else count > counts.max() / 2
        if count or len(names) <= FEW_LABELS:
            color = "white" if is_dark else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=size)
    ticks = range(len(names))
    axes.set(title="Confusion matrix", xlabel="verdict", ylabel="label", xticks=ticks, yticks=ticks)
    short = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
    if len(names) > FEW_LABELS:
        axes.set_xticklabels(short, rotation=90, fontsize=7)
        axes.set_yticklabels(short, fontsize=7)
    else:
        axes.set_xticklabels(short)
        axes.set_yticklabels(short, rotation=90, va="center")


def draw_scores(scores: Scores, names: Sequence[str], threshold: float, by_length: list[dict[str, Any]]) -> "Figure":
    """Draw the distribution of scores, and accuracy by text length with its 95% interval (Wilson).

    With two labels the scores are those of the second one, by label; with more those of the verdict, right or wrong.
    """
    figure, (spread, lengths) = side_by_side(1, 1)
    edges = np.linspace(0, 1, 41).tolist()
    if scores.probabilities.ndim == 1:
        shown, of_what = scores.probabilities, f"a {names[1]} text"
        groups = [(f"{name} texts", scores.labels == label) for label, name in enumerate(names)]
    else:
        shown, of_what = scores.probabilities.max(axis=1), "the verdict"
        is_right = scores.probabilities.argmax(axis=1) == scores.labels
        groups = [("wrong verdicts", ~is_right), ("right verdicts", is_right)]
    for (name, members), color in zip(groups, (ORANGE, BLUE), strict=True):
        spread.hist(shown[members], edges, color=color, alpha=0.55, label=name)
    if scores.probabilities.ndim == 1:
        spread.axvline(threshold, color=GREY, linestyle=":", label=f"threshold {threshold:g}")
    spread.set(title="Scores", xlabel=f"probability of {of_what}", ylabel="texts", yscale="log")
    spread.legend(frameon=False, loc="upper center", fontsize=8)

    accuracy = np.array([row["accuracy"] for row in by_length])
    low, high = np.array([row["ci95"] for row in by_length]).T
    error = accuracy - low, high - accuracy
    lengths.bar(np.arange(len(by_length)), accuracy, yerr=error, color=BLUE, alpha=0.75, capsize=3, width=0.7)
    lengths.set(title="Accuracy by length", xlabel="words kept", ylim=(max(0, low.min() - 0.05), 1))
    lengths.set_xticks(
        np.arange(len(by_length)), [f"{row['from']} to {row['to']}\n{row['reviews']:,}" for row in by_length]
    )
    lengths.tick_params(axis="x", labelsize=8)
    return figure
