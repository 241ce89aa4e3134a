"""Pages: the results of a run, or its failure, as HTML and as artifacts for Prefect's UI."""

import base64
import traceback
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow
from prefect.logging import get_logger

from tasks.core.environment import store_root
from tasks.core.errors import PipelineError, StoreError
from tasks.core.files import explain_os_errors, stamped, written_whole
from tasks.core.layout import FAILURES, FIGURES, REPORT
from tasks.evaluation.metrics import HEADLINES, NUMBERS
from tasks.store.step_log import steps_of, unfinished_step

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


def link_folder(folder: Path, key: str) -> None:
    """Put a link to a folder of this machine into Prefect's UI."""
    from prefect.artifacts import create_link_artifact

    create_link_artifact(folder.as_uri(), link_text=folder.name, key=key, description="On this run's machine.")


def show_in_prefect(name: str, folder: Path, metrics: dict[str, Any], findings: dict[str, Any]) -> None:
    """Put the metrics, the report and links to the run folder and the MLflow run into Prefect's UI."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    rows = {"test": metrics["test"], "validation": metrics["validation"], "linear baseline": metrics["baseline"]}
    table = [{"texts": row} | {key: round(numbers[key], 4) for key in NUMBERS} for row, numbers in rows.items()]
    create_table_artifact(table, key="imdb-pipeline-metrics", description="The test metrics count.")
    images = {path.stem.replace("_", " "): as_address(path) for path in sorted((folder / FIGURES).iterdir())}
    markdown = render("report.md.jinja", name=name, metrics=metrics, findings=findings, images=images, folder=folder)
    create_markdown_artifact(markdown, key="imdb-pipeline-report")
    link_folder(folder, "imdb-pipeline-run-folder")
    if metrics["tracking"] and (page := mlflow_page(metrics["tracking"])):
        create_link_artifact(page, link_text="The run in MLflow", key="imdb-pipeline-mlflow-run")


UNEXPECTED = (
    "This error was unexpected. Finished steps and epochs are kept: run the same again to continue after them. "
    "If the error occurs again, please report it with the traceback below."
)


def write_failure(folder: Path, name: str, settings: dict[str, Any], step: str, error: Exception, steps: Any) -> Path:
    """Write failures/<UTC time>-<name>/report.html and return its path; `step` raised the error."""
    final = folder / stamped(name)
    is_expected = isinstance(error, PipelineError | ParameterTypeError)
    page = render(
        "failure.html.jinja",
        name=name,
        settings=settings,
        step=step,
        steps=steps,
        message=str(error) if is_expected else f"{type(error).__name__}: {error}",
        remedy=None if is_expected else UNEXPECTED,
        trace=None if is_expected else "".join(traceback.format_exception(error)),
    )
    with explain_os_errors(final), written_whole(final) as draft:
        (draft / REPORT).write_text(page, encoding="utf-8")
    return final / REPORT


def leave_report(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Write the page of a failed run; Prefect calls this when a run has failed."""
    error = state.result(raise_on_failure=False)
    if not isinstance(error, Exception):
        return
    logger = get_logger("prefect.failure")
    # Wrong parameters are not shown: they may include a password, which correct ones cannot.
    settings = {} if isinstance(error, ParameterTypeError) else flow_run.parameters.get("settings") or {}
    try:
        page = write_failure(
            store_root() / FAILURES,
            flow_run.name,
            settings if isinstance(settings, dict) else settings.model_dump(mode="json"),
            unfinished_step() or "the flow",
            error,
            steps_of(str(flow_run.id)),
        )
    except StoreError as problem:
        logger.warning("The failure has no report: %s", problem)
    else:
        logger.info("Report of the failure: %s", page)
