"""Pages: the results of runs and comparisons as HTML and as artifacts for Prefect's UI."""

import base64
from pathlib import Path
from typing import Any

from tasks.core.layout import FIGURES
from tasks.evaluation import findings
from tasks.evaluation.metrics import HEADLINES, NUMBERS

TEMPLATES = Path(__file__).resolve().parent


def number(value: float, digits: int = 4) -> str:
    """Return a number with a fixed number of decimals."""
    return f"{value:.{digits}f}"


def render(template: str, **values: Any) -> str:
    """Render a template of this folder; a missing value is an error, and HTML is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
    )
    # Templates call the functions of `findings`.
    environment.globals |= vars(findings) | {"numbers": NUMBERS, "headlines": HEADLINES}
    environment.globals |= {"count": "{:,}".format, "number": number}
    return environment.get_template(template).render(**values)


def read_figures(folder: Path) -> dict[str, str]:
    """Return the <svg> elements of the figures in a folder, without their files' XML headers, by name."""
    texts = {path.stem.replace("_", " "): path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"))}
    return {name: text[text.index("<svg") :] for name, text in texts.items()}


def as_address(svg: str) -> str:
    """Return a figure as a data URL on white, because Prefect's UI may be dark and the letters are black."""
    svg = svg.replace("<svg ", '<svg style="background: #fff" ', 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def mlflow_page(tracking: dict[str, Any]) -> str | None:
    """Return the URL of a run in MLflow's UI, or None if MLflow has no server."""
    if not (tracking["uri"] or "").startswith("http"):
        return None
    return f"{tracking['uri'].rstrip('/')}/#/experiments/{tracking['experiment_id']}/runs/{tracking['run_id']}"


def show_in_prefect(name: str, folder: Path, metrics: dict[str, Any]) -> None:
    """Put the metrics, the report and a link to the MLflow run into Prefect's UI."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    rows = {"test": metrics["test"], "validation": metrics["validation"], "linear baseline": metrics["baseline"]}
    table = [{"texts": row} | {key: round(numbers[key], 4) for key in NUMBERS} for row, numbers in rows.items()]
    create_table_artifact(table, key="imdb-pipeline-metrics", description="The test metrics count.")
    images = {name: as_address(svg) for name, svg in read_figures(folder / FIGURES).items()}
    markdown = render("report.md.jinja", name=name, metrics=metrics, images=images, folder=folder)
    create_markdown_artifact(markdown, key="imdb-pipeline-report")
    if metrics["tracking"] and (page := mlflow_page(metrics["tracking"])):
        create_link_artifact(page, link_text="The run in MLflow", key="imdb-pipeline-mlflow-run")


def show_comparison_in_prefect(comparison: dict[str, Any], folder: Path) -> None:
    """Put the table of a comparison and the path of its folder into Prefect's UI."""
    from prefect.artifacts import create_table_artifact

    cells = [[cell.replace("\n", ", ") for cell in findings.describe_row(member)] for member in comparison["members"]]
    rows = [dict(zip(findings.COLUMNS, row, strict=True)) for row in cells]
    said = f"{findings.describe_chosen(comparison)} {findings.describe_sight(comparison)} Folder: {folder}"
    create_table_artifact(rows, key="imdb-pipeline-comparison", description=said)
