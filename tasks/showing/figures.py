"""Figures: what a run came to, drawn by Matplotlib as SVG whose bytes depend on its content alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.judging.metrics import bin_of

# Matplotlib and scikit-learn are imported inside the functions that need them: a cached run never pays for them.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#3b6ea8", "#d1662c", "#888888"

# A classifier's name, its labels and its probabilities.
Scored = tuple[str, np.ndarray, np.ndarray]


def save_figure(figure: "Figure", path: Path, title: str) -> None:
    """Write a figure as SVG, with a title for those who cannot see it."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Title": title})


def side_by_side(*widths: float, height: float = 3.7) -> "tuple[Figure, list[Axes]]":
    """Return a figure with axes of the given relative widths."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, height), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for its in axes:
        its.grid(alpha=0.25)
        its.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def draw_learning_curves(history: list[dict[str, Any]], best_epoch: int) -> "Figure":
    """Draw loss and accuracy against epochs, training beside validation, the best epoch marked."""
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


def draw_rankings(classifiers: list[Scored]) -> "Figure":
    """Draw the ROC and the precision-recall curve of each classifier, over all thresholds."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    figure, (roc, pr) = side_by_side(1, 1)
    roc.plot([0, 1], [0, 1], ":", color=GREY, label="chance")
    for (name, labels, probabilities), color in zip(classifiers, (BLUE, ORANGE), strict=False):
        false_positive, true_positive, _thresholds = roc_curve(labels, probabilities)
        area = auc(false_positive, true_positive)
        roc.plot(false_positive, true_positive, color=color, label=f"{name}, area {area:.3f}")
        precision, recall, _thresholds = precision_recall_curve(labels, probabilities)
        average = average_precision_score(labels, probabilities)
        pr.plot(recall, precision, color=color, label=f"{name}, average precision {average:.3f}")
    pr.axhline(classifiers[0][1].mean(), linestyle=":", color=GREY, label="chance")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    pr.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(None, 1.01))
    roc.legend(frameon=False, loc="lower right")
    pr.legend(frameon=False, loc="lower left")
    return figure


def draw_verdicts(confusion: list[list[int]], labels: np.ndarray, probabilities: np.ndarray, bins: int) -> "Figure":
    """Draw the confusion matrix, and the share of positive reviews against the probability given (reliability)."""
    figure, (matrix, reliability) = side_by_side(1, 1.2)
    counts = np.array(confusion)
    matrix.imshow(counts, cmap="Blues", vmin=0)
    matrix.grid(visible=False)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if count > counts.max() / 2 else "black"
        matrix.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=13)
    names = ["negative", "positive"]
    matrix.set(title="Confusion matrix", xlabel="verdict", ylabel="label", xticks=[0, 1], yticks=[0, 1])
    matrix.set_xticklabels(names)
    matrix.set_yticklabels(names, rotation=90, va="center")

    place = bin_of(probabilities, bins)
    number = np.bincount(place, minlength=bins)
    filled = number > 0
    given = np.bincount(place, weights=probabilities, minlength=bins)[filled] / number[filled]
    positive = np.bincount(place, weights=labels, minlength=bins)[filled] / number[filled]
    reliability.plot([0, 1], [0, 1], ":", color=GREY, label="perfectly calibrated")
    reliability.scatter(
        given, positive, s=300 * number[filled] / number.max() + 8, color=BLUE, alpha=0.35, linewidths=0
    )
    reliability.plot(given, positive, "-", color=BLUE, label="this network (area: reviews)")
    reliability.set(title="Reliability", xlabel="probability given", ylabel="share of positive reviews")
    reliability.legend(frameon=False, loc="upper left")
    return figure


def draw_scores(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, by_length: list[dict[str, Any]]
) -> "Figure":
    """Draw how scores are spread by label, and accuracy by review length with its 95% interval (Wilson)."""
    figure, (spread, lengths) = side_by_side(1, 1)
    edges = np.linspace(0, 1, 41).tolist()
    for label, name, color in ((0, "negative reviews", ORANGE), (1, "positive reviews", BLUE)):
        spread.hist(probabilities[labels == label], edges, color=color, alpha=0.55, label=name)
    spread.axvline(threshold, color=GREY, linestyle=":", label=f"threshold {threshold:g}")
    spread.set(title="Scores", xlabel="probability of a positive review", ylabel="reviews", yscale="log")
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
