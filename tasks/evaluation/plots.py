"""Plots: a run's results as Matplotlib figures, saved as reproducible SVG."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.evaluation.metrics import bin_of
from tasks.evaluation.predictions import Rule, Scores, confidence_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#3b6ea8", "#d1662c", "#888888"

FEW_LABELS = 4  # a small confusion matrix
MOST_CURVES, MOST_LABELS_SHOWN, LONGEST_NAME = 10, 20, 18
FALLBACK_FONTS = ("Noto Sans CJK JP", "WenQuanYi Zen Hei", "Hiragino Sans", "Arial Unicode MS")

# A curve's name, (n,) whether each text is one to be found, and (n,) the probability that it is.
Ranking = tuple[str, np.ndarray, np.ndarray]


def save_figure(figure: "Figure", path: Path, title: str) -> None:
    """Write a figure as SVG, with a title for screen readers."""
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    installed = set(fontManager.get_font_names()).intersection(FALLBACK_FONTS)
    for text in figure.findobj(Text) if installed else []:
        text.set(fontfamily=[*mpl.rcParams["font.family"], *sorted(installed)])
    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Title": title})


def plain(name: str) -> str:
    """Return a name for Matplotlib, which reads $ as mathematics and hides curves whose names begin with _."""
    return re.sub("^_", " _", name).replace("$", r"\$")


def side_by_side(*widths: float, height: float = 3.7) -> "tuple[Figure, list[Axes]]":
    """Return a figure with axes of the given relative widths."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, height), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for drawn in axes:
        drawn.grid(alpha=0.25)
        drawn.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def plot_epochs(axes: "Axes", history: list[dict[str, Any]], name: str, **style: Any) -> None:
    """Draw one of the metrics of each epoch as a line."""
    from matplotlib.ticker import MaxNLocator

    axes.plot([epoch["epoch"] for epoch in history], [epoch[name] for epoch in history], "o-", **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_learning_curves(history: list[dict[str, Any]], best_epoch: int) -> "Figure":
    """Draw training and validation loss and accuracy by epoch, with the best epoch marked."""
    figure, both = side_by_side(1, 1, height=3.4)
    for axes, name in zip(both, ("loss", "accuracy"), strict=True):
        plot_epochs(axes, history, name, color=BLUE, label="training")
        plot_epochs(axes, history, f"val_{name}", color=ORANGE, label="validation")
        axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best epoch ({best_epoch})")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.legend(frameon=False)
    return figure


def draw_comparison(members: Sequence[dict[str, Any]]) -> "Figure":
    """Draw validation loss and accuracy by epoch, one colour per member and one line per seed."""
    import matplotlib as mpl

    shades = mpl.colormaps["tab10"] if len(members) <= 10 else mpl.colormaps["turbo"].resampled(len(members))
    figure, both = side_by_side(1, 1, height=4.0 + 0.22 * -(-len(members) // 3))
    for axes, name in zip(both, ("loss", "accuracy"), strict=True):
        for place, member in enumerate(members):
            for number, run in enumerate(member["runs"]):
                style = {"color": shades(place), "label": None if number else plain(member["name"])}
                plot_epochs(axes, run["history"], f"val_{name}", **style, alpha=0.85, markersize=4, linewidth=1.4)
        axes.set(title=f"{name.capitalize()} on the validation texts", xlabel="epoch")
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_rankings(rankings: list[Ranking]) -> "Figure":
    """Draw ROC and precision-recall curves, over all thresholds."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    colors = (BLUE, ORANGE) if len(rankings) == 2 else [f"C{number}" for number in range(MOST_CURVES)]
    figure, (roc, pr) = side_by_side(1, 1)
    roc.plot([0, 1], [0, 1], ":", color=GREY, label="chance")
    for (name, hits, probabilities), color in zip(rankings, colors, strict=False):
        false_positive, true_positive, _thresholds = roc_curve(hits, probabilities)
        area = auc(false_positive, true_positive)
        roc.plot(false_positive, true_positive, color=color, label=f"{plain(name)}, area {area:.3f}")
        precision, recall, _thresholds = precision_recall_curve(hits, probabilities)
        average = average_precision_score(hits, probabilities)
        pr.plot(recall, precision, color=color, label=f"{plain(name)}, average precision {average:.3f}")
    if len(rankings) == 2:
        pr.axhline(rankings[0][1].mean(), linestyle=":", color=GREY, label="chance")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    pr.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(None, 1.01))
    size = None if len(rankings) <= 2 else 7
    roc.legend(frameon=False, loc="lower right", fontsize=size)
    pr.legend(frameon=False, loc="lower left", fontsize=size)
    return figure


def by_outcome(scores: Scores, names: Sequence[str], rule: Rule) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return what to draw of each text's score, and the names of the two outcomes.

    Returns:
        (n,) probabilities, with two labels of the second one, with more of the verdict; (n,) whether that was the
        label; and what the texts are called of which it was not, and of which it was.
    """
    if scores.probabilities.ndim == 1:
        return scores.probabilities, scores.labels == 1, [f"{plain(name)} texts" for name in names]
    is_right = scores.verdicts(rule) == scores.labels
    return confidence_of(scores.probabilities, rule), is_right, ["wrong verdicts", "right verdicts"]


def draw_verdicts(confusion: list[list[int]], names: Sequence[str], scores: Scores, rule: Rule, bins: int) -> "Figure":
    """Draw the confusion matrix and the reliability diagram of `by_outcome`."""
    counts, shown = gather_rare(np.array(confusion), names)
    many = len(shown) > FEW_LABELS
    figure, (matrix, reliability) = side_by_side(*((1.7, 1) if many else (1, 1.2)), height=5.5 if many else 3.7)
    draw_matrix(matrix, counts, shown)
    probabilities, hits, (_misses, of_what) = by_outcome(scores, names, rule)
    place = bin_of(probabilities, bins)
    number = np.bincount(place, minlength=bins)
    filled = number > 0
    given = np.bincount(place, weights=probabilities, minlength=bins)[filled] / number[filled]
    share = np.bincount(place, weights=hits, minlength=bins)[filled] / number[filled]
    reliability.plot([0, 1], [0, 1], ":", color=GREY, label="perfectly calibrated")
    reliability.scatter(given, share, s=300 * number[filled] / number.max() + 8, color=BLUE, alpha=0.35, linewidths=0)
    reliability.plot(given, share, "-", color=BLUE, label="this model (area: texts)")
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
    """Draw a confusion matrix, one row per label and one column per verdict, coloured by the share of the row."""
    many, ticks = len(names) > FEW_LABELS, range(len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    for (row, column), count in np.ndenumerate(counts):
        if count or not many:
            color, size = "white" if shares[row, column] > 0.5 else "black", max(4, 90 // len(names)) if many else 13
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=size)
    short = [plain(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…") for name in names]
    axes.set(title="Confusion matrix", xlabel="verdict", ylabel="label")
    axes.set_xticks(ticks, short, rotation=90 if many else 0, fontsize=7 if many else None)
    axes.set_yticks(ticks, short, rotation=0 if many else 90, va="center", fontsize=7 if many else None)


def draw_scores(scores: Scores, names: Sequence[str], rule: Rule, by_length: list[dict[str, Any]]) -> "Figure":
    """Draw the distribution of the scores of `by_outcome`, and accuracy by length with its 95% interval (Wilson)."""
    figure, (spread, lengths) = side_by_side(1, 1)
    edges = np.linspace(0, 1, 41).tolist()
    shown, hits, kinds = by_outcome(scores, names, rule)
    for name, members, color in zip(kinds, (~hits, hits), (ORANGE, BLUE), strict=True):
        spread.hist(shown[members], edges, color=color, alpha=0.55, label=name)
    of_what = "the verdict"
    if scores.probabilities.ndim == 1:
        spread.axvline(float(rule), color=GREY, linestyle=":", label=f"threshold {rule:g}")
        of_what = f"the label {plain(names[1])}"
    spread.set(title="Scores", xlabel=f"probability of {of_what}", ylabel="texts", yscale="log")
    spread.legend(frameon=False, loc="upper center", fontsize=8)

    accuracy = np.array([row["accuracy"] for row in by_length])
    low, high = np.array([row["ci95"] for row in by_length]).T
    error = accuracy - low, high - accuracy
    lengths.bar(np.arange(len(by_length)), accuracy, yerr=error, color=BLUE, alpha=0.75, capsize=3, width=0.7)
    lengths.set(title="Accuracy by length", xlabel="words kept", ylim=(max(0, low.min() - 0.05), 1))
    names = [f"{row['from']} to {row['to']}\n{row['reviews']:,}" for row in by_length]
    lengths.set_xticks(np.arange(len(by_length)), names, fontsize=8)
    return figure
