"""Export: write the champion or a named model as a SavedModel or as ONNX."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

from tasks.core.command_settings import ExportSettings
from tasks.export import export, output_of
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version
from tasks.reporting.terminal_output import show_export
from tasks.store.fingerprint import StepPlan
from tasks.store.step import flow


@flow("imdb-pipeline-export")
def export_flow(settings: ExportSettings) -> dict[str, Any]:
    """Write a SavedModel for TensorFlow or TensorFlow Serving, or an ONNX model, that runs without this project.

    Args:
        settings: where to write, and which model.

    Returns:
        The model's name, and the folder.
    """
    return export(settings, tracking_uri())


def plan_export(settings: ExportSettings) -> list[StepPlan]:
    """Return which model would be written, and where."""
    found = find_version(settings.model, settings.registered_model, tracking_uri())
    return [StepPlan("export", "runs", f"{found.name} as {settings.format} to {output_of(settings)}")]


main = partial(run_flow, export_flow, ExportSettings, show_export, output_of, plan_export)

if __name__ == "__main__":
    raise SystemExit(main())
