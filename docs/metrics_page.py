"""Print docs/metrics.md from the models of metrics.json: `python docs/metrics_page.py > docs/metrics.md`."""

from collections.abc import Iterable

from pydantic import BaseModel

from tasks.evaluation.result_files import RunMetrics, SplitMetrics

ORDER = ("dataset", "candidates", "test", "validation", "baseline", "temperature", "answers", "promotion", "tracking",
         "machine", "model", "history", "steps", "auto", "artifacts", "versions")  # fmt: skip
PAGE = """# metrics.json: the results of a run

Every run writes `runs/<UTC time>-<name>/metrics.json`. Its keys are stable: new ones may be added, none is removed.
(This page is made by `python docs/metrics_page.py`.)

{run}

## Metrics of a split

With two labels, a review counts as positive if its probability is at least `--evaluation.threshold`. With more, the
most probable label is the verdict and the threshold is not used.

{split}

The `accuracy` of `history` is Keras's, measured while the weights change and dropout is on; `val_accuracy` is measured
after the epoch."""


def table(model: type[BaseModel], names: Iterable[str]) -> str:
    """Return the fields of a model as a Markdown table."""
    rows = [(f"`{name}`", " ".join((model.model_fields[name].description or "").split())) for name in names]
    return "\n".join(f"| {key} | {meaning} |" for key, meaning in [("key", "meaning"), ("---", "---"), *rows])


def metrics_page() -> str:
    """Return the page."""
    return PAGE.format(run=table(RunMetrics, ORDER), split=table(SplitMetrics, SplitMetrics.model_fields))


if __name__ == "__main__":
    print(metrics_page())
