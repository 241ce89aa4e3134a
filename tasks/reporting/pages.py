"""Pages: what a run came to, as HTML for the run folder and as artifacts for Prefect's UI."""

import base64
from pathlib import Path
from typing import Any

from tasks.core.layout import FIGURES
from tasks.evaluation.metrics import HEADLINES, NUMBERS


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


TEMPLATES = Path(__file__).resolve().parent

# Prefect and Jinja are imported inside the functions that need them: who only names a page never pays for them.


def render(template: str, **values: Any) -> str:
    """Return a template of this folder filled in; what it lacks is an error, and HTML is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"numbers": NUMBERS, "headlines": HEADLINES}
    return environment.get_template(template).render(**values)


def read_svg(path: Path) -> str:
    """Return a figure as it may stand within a page: without the lines that only a file of its own has."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("<svg") :]


def as_address(path: Path) -> str:
    """Return a figure as an address that holds all of it, on white: Prefect's UI may be dark, its letters are not."""
    svg = read_svg(path).replace("<svg ", '<svg style="background: #fff" ', 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def mlflow_page(tracking: dict[str, Any]) -> str | None:
    """Return the address of a run in MLflow's UI, or None where MLflow has no server."""
    if not (tracking["uri"] or "").startswith("http"):
        return None
    return f"{tracking['uri'].rstrip('/')}/#/experiments/{tracking['experiment_id']}/runs/{tracking['run_id']}"


def show_in_prefect(name: str, folder: Path, metrics: dict[str, Any], findings: dict[str, Any]) -> None:
    """Put the metrics, the report and links to the run folder and the MLflow run into Prefect's UI."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    rows = {"test": metrics["test"], "validation": metrics["validation"], "linear baseline": metrics["baseline"]}
    table = [{"reviews": row} | {key: round(numbers[key], 4) for key in NUMBERS} for row, numbers in rows.items()]
    create_table_artifact(table, key="imdb-pipeline-metrics", description="The test reviews decide.")
    images = {path.stem.replace("_", " "): as_address(path) for path in sorted((folder / FIGURES).iterdir())}
    markdown = render("report.md.jinja", name=name, metrics=metrics, findings=findings, images=images, folder=folder)
    create_markdown_artifact(markdown, key="imdb-pipeline-report")
    create_link_artifact(
        folder.as_uri(), link_text=folder.name, key="imdb-pipeline-run-folder", description="On this run's machine."
    )
    if metrics["tracking"] and (page := mlflow_page(metrics["tracking"])):
        create_link_artifact(page, link_text="The run in MLflow", key="imdb-pipeline-mlflow-run")
