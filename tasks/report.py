"""Report: the figures of a run, drawn once for what was trained and how it was judged."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from prefect import task

from tasks.core.caching import BY_CONTENT, keep
from tasks.core.environment import store_root
from tasks.core.store import Artifact, Store

# Matplotlib is imported inside the functions that need it: a cached run never pays for it.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING, VALIDATION = "#3b6ea8", "#d1662c"


def draw_learning_curves(history: list[dict[str, Any]], best_epoch: int) -> "Figure":
    """Draw loss and accuracy against epochs, training beside validation, the best epoch marked."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch["epoch"] for epoch in history]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [epoch[name] for epoch in history], "o-", color=TRAINING, label="training")
        axes.plot(epochs, [epoch[f"val_{name}"] for epoch in history], "o-", color=VALIDATION, label="validation")
        axes.axvline(best_epoch, color="#888888", linestyle=":", label=f"best epoch ({best_epoch})")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as SVG whose bytes depend on its content alone."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def draw_roc(labels: np.ndarray, probabilities: np.ndarray) -> "Figure":
    """Draw the true positive rate against the false positive rate over all thresholds.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) of a positive review.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import auc, roc_curve

    false_positive, true_positive, _thresholds = roc_curve(labels, probabilities)
    figure = Figure(figsize=(4.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="#888888", label="chance")
    label = f"area {auc(false_positive, true_positive):.3f}"
    axes.plot(false_positive, true_positive, color=TRAINING, label=label)
    axes.set(title="ROC, test reviews", xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(frameon=False)
    return figure


def draw_figures(trained: Path, evaluated: Path, folder: Path) -> dict[str, Any]:
    """Write every figure of a run into `folder`, and return their names in the order in which they are shown."""
    training = json.loads((trained / "training.json").read_text())
    test = pq.read_table(evaluated / "test.parquet")
    figures = {
        "learning_curves.svg": draw_learning_curves(training["history"], training["best_epoch"]),
        "roc.svg": draw_roc(test["label"].to_numpy(), test["probability"].to_numpy()),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    return {"figures": list(figures)}


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="report")
def report(trained: Artifact, evaluated: Artifact) -> Artifact:
    """Draw the figures of a run."""
    store = Store(store_root())
    paths = store.path(trained), store.path(evaluated)
    return keep(lambda folder: draw_figures(*paths, folder))
