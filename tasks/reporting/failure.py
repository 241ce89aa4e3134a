"""Failure: a page with the step, the error and the remedy of a failed run."""

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
from tasks.core.layout import FAILURES, REPORT
from tasks.reporting.pages import render
from tasks.store.step_log import steps_of, unfinished_step

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
