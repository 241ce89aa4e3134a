"""Export: the champion, or the model that is named, for others to run: as a SavedModel or as ONNX."""

from typing import Any

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

from prefect import flow  # noqa: E402

from tasks.core.flow_settings import ExportSettings  # noqa: E402
from tasks.export import check_place_of, export  # noqa: E402
from tasks.judging.registry import tracking_uri  # noqa: E402


@flow(name="imdb-pipeline-export", persist_result=False)
def export_flow(settings: ExportSettings) -> dict[str, Any]:
    """Write a SavedModel for TensorFlow or TensorFlow Serving, or an ONNX model, that runs without this project.

    Args:
        settings: where to write, and which model.

    Returns:
        The model's name, and the folder.
    """
    return export(settings, tracking_uri())


def main() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.showing.command_line import ExportCommandLine, run_from_command_line
    from tasks.showing.screen import show_export

    return run_from_command_line(export_flow, ExportCommandLine, ExportSettings, show_export, check_place_of)


if __name__ == "__main__":
    raise SystemExit(main())
