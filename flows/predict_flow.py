"""Predict: score texts with the champion or a named model."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

if __name__ == "__main__":
    # Before Prefect is imported: a text is scored in less time than that takes.
    from flows.predict_texts import main as score_without_prefect

    if (status := score_without_prefect()) is not None:
        raise SystemExit(status)

from prefect import flow

from flows.runners import map_over
from tasks.core.error_messages import describe
from tasks.core.errors import InputError
from tasks.core.flow_settings import PredictSettings, RunnerSettings
from tasks.predict import check_places, pairs, places, predict
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version
from tasks.reporting.screen import show_prediction


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
    """Score each file that has no scores yet in a task of its own, all with the same version of the model.

    Raises:
        InputError: some files cannot be scored; the others are scored first.
    """
    check_places(settings)
    result: dict[str, Any] = {"files": [], "refused": []}
    todo = list(pairs(settings))
    if not todo:
        return result
    common = settings.model_dump(exclude=set(RunnerSettings.model_fields))
    if settings.model is None:
        champion = find_version(None, settings.registered_model, uri)
        common["registered_model"], common["model"] = champion.registered_model, str(champion.number)
    each = [common | {"input": str(source), "output": str(output)} for source, output in todo]
    is_folder = places(settings)[0].is_dir()
    calls = [
        {"settings": PredictSettings.model_validate(values), "uri": uri, "keep_scored": is_folder} for values in each
    ]
    for scored in map_over(predict, calls, settings):
        if isinstance(scored, Exception):
            result["refused"].append(describe(scored))
        else:
            result["files"] += scored["files"]
            result |= {name: scored[name] for name in ("model", "registered_model")}
    if result["refused"]:
        raise InputError("\n".join(result["refused"]))
    return result


main = partial(run_flow, predict_flow, PredictSettings, show_prediction, check_places)

if __name__ == "__main__":
    raise SystemExit(main())
