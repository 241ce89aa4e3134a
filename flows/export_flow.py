"""Export: write the champion or a named model as a SavedModel or as ONNX."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

from prefect import flow

from tasks.core.flow_settings import ExportSettings
from tasks.export import check_place_of, export
from tasks.registry.client import tracking_uri
from tasks.reporting.screen import show_export


@flow(name="imdb-pipeline-export", persist_result=False)
def export_flow(settings: ExportSettings) -> dict[str, Any]:
    """Write a SavedModel for TensorFlow or TensorFlow Serving, or an ONNX model, that runs without this project.

    Args:
        settings: where to write, and which model.

    Returns:
        The model's name, and the folder.
    """
    return export(settings, tracking_uri())


main = partial(run_flow, export_flow, ExportSettings, show_export, check_place_of)

if __name__ == "__main__":
    raise SystemExit(main())
