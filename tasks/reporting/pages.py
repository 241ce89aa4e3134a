"""Pages: a run's results in sentences, as HTML for the run folder and as artifacts for Prefect's UI."""

import base64
from pathlib import Path
from typing import Any

from tasks.core.layout import FIGURES
from tasks.evaluation.metrics import HEADLINES, NUMBERS

TEMPLATES = Path(__file__).resolve().parent


def render(template: str, **values: Any) -> str:
    """Render a template of this folder; a missing value is an error, and HTML is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"numbers": NUMBERS, "headlines": HEADLINES}
    return environment.get_template(template).render(**values)


def read_svg(path: Path) -> str:
    """Return the <svg> element of a figure, without the file's XML header."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("<svg") :]


def as_address(path: Path) -> str:
    """Return a figure as a data URL on white, because Prefect's UI may be dark and the letters are black."""
    svg = read_svg(path).replace("<svg ", '<svg style="background: #fff" ', 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def mlflow_page(tracking: dict[str, Any]) -> str | None:
    """Return the URL of a run in MLflow's UI, or None if MLflow has no server."""
    if not (tracking["uri"] or "").startswith("http"):
        return None
    return f"{tracking['uri'].rstrip('/')}/#/experiments/{tracking['experiment_id']}/runs/{tracking['run_id']}"


def show_in_prefect(name: str, folder: Path, metrics: dict[str, Any], findings: dict[str, Any]) -> None:
    """Put the metrics, the report and links to the run folder and the MLflow run into Prefect's UI."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    rows = {"test": metrics["test"], "validation": metrics["validation"], "linear baseline": metrics["baseline"]}
    table = [{"reviews": row} | {key: round(numbers[key], 4) for key in NUMBERS} for row, numbers in rows.items()]
    create_table_artifact(table, key="imdb-pipeline-metrics", description="The test metrics count.")
    images = {path.stem.replace("_", " "): as_address(path) for path in sorted((folder / FIGURES).iterdir())}
    markdown = render("report.md.jinja", name=name, metrics=metrics, findings=findings, images=images, folder=folder)
    create_markdown_artifact(markdown, key="imdb-pipeline-report")
    create_link_artifact(
        folder.as_uri(), link_text=folder.name, key="imdb-pipeline-run-folder", description="On this run's machine."
    )
    if metrics["tracking"] and (page := mlflow_page(metrics["tracking"])):
        create_link_artifact(page, link_text="The run in MLflow", key="imdb-pipeline-mlflow-run")
