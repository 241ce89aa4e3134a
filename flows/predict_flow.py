"""Predict: raw text in, verdict out, by the champion or the model that is named."""

from tasks.reporting.command_line import run_from_command_line

from typing import Any

if __name__ == "__main__":
    # Before Prefect is imported: a text is scored in the time that takes.
    from flows.predict_command import main

    raise SystemExit(main())

from prefect import flow

from flows.runners import map_over
from tasks.core.error_messages import describe
from tasks.core.errors import InputError
from tasks.core.flow_settings import PredictSettings, RunnerSettings
from tasks.predict import check_places, pairs, predict
from tasks.registry.client import tracking_uri
from tasks.registry.loading import pin_champion


@flow(name="imdb-pipeline-predict", persist_result=False)
def predict_flow(settings: PredictSettings) -> dict[str, Any]:
    """Score one text, the rows of a file, or the files of a folder that have no scores yet.

    Args:
        settings: what to score, and with which model.

    Returns:
        The model's name, and the label and probability of the text or the files written.
    """
    uri = tracking_uri()
    if settings.runner == "none" or settings.text is not None:
        return predict(settings, uri)
    return predict_side_by_side(settings, uri)


def predict_side_by_side(settings: PredictSettings, uri: str | None) -> dict[str, Any]:
    """Score each file that has no scores yet by a task of its own, all by one version of the model.

    Returns:
        What `predict` returns of them all.

    Raises:
        InputError: files that cannot be scored; the others are.
    """
    check_places(settings)
    result: dict[str, Any] = {"files": [], "refused": []}
    todo = list(pairs(settings))
    if not todo:
        return result
    own = settings.model_dump(exclude=set(RunnerSettings.model_fields))
    if settings.model is None:
        own["registered_model"], own["model"] = pin_champion(settings.registered_model, uri)
    asked = [own | {"input": str(source), "output": str(output)} for source, output in todo]
    calls = [{"settings": PredictSettings.model_validate(values), "uri": uri} for values in asked]
    for scored in map_over(predict, calls, settings):
        if isinstance(scored, Exception):
            result["refused"].append(describe(scored))
        else:
            result["files"] += scored["files"]
            result |= {name: scored[name] for name in ("model", "registered_model")}
    if result["refused"]:
        raise InputError("\n".join(result["refused"]))
    return result


def run() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.reporting.command_line import PredictCommandLine

    from tasks.reporting.screen import show_prediction

    return run_from_command_line(predict_flow, PredictCommandLine, PredictSettings, show_prediction, check_places)
