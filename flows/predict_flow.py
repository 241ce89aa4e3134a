"""Predict: raw text in, verdict out, by the champion or the model that is named."""

from typing import Any

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

if __name__ == "__main__":
    # Before Prefect is imported: a text is scored in the time that takes.
    from flows.predict_command import main

    raise SystemExit(main())

from prefect import flow  # noqa: E402

from tasks.core.flow_settings import PredictSettings  # noqa: E402
from tasks.judging.registry import tracking_uri  # noqa: E402
from tasks.predict import check_places, predict  # noqa: E402


@flow(name="imdb-pipeline-predict", persist_result=False)
def predict_flow(settings: PredictSettings) -> dict[str, Any]:
    """Score one text, the rows of a file, or the files of a folder that have no scores yet.

    Args:
        settings: what to score, and with which model.

    Returns:
        The model's name, and the label and probability of the text or the files written.
    """
    return predict(settings, tracking_uri())


def run() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.showing.command_line import PredictCommandLine, run_from_command_line
    from tasks.showing.screen import show_prediction

    return run_from_command_line(predict_flow, PredictCommandLine, PredictSettings, show_prediction, check_places)
