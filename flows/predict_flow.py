"""Predict: score texts with the champion or a named model."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

import sys
from functools import partial
from typing import Any

from flows.predict_texts import score_without_flow, split_texts
from flows.runners import map_over
from tasks.core.command_settings import STDIN, PredictSettings
from tasks.core.environment import store_root
from tasks.core.errors import InputError, describe
from tasks.core.layout import INBOX
from tasks.core.user_paths import user_path
from tasks.predict import check_places, files_and_outputs, files_to_score, is_one_table, is_scored, parts_of, predict
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version
from tasks.reporting.terminal_output import show_prediction
from tasks.store.fingerprint import StepPlan
from tasks.store.step import flow, run_logger
from tasks.texts.sources.layouts import describe_unread, label_folders
from tasks.texts.tables.table_files import describe_skipped, files_within

LABEL_FOLDERS_HINT = "; to score a folder of .txt files per label, name a file with --output: one table has all texts"


@flow("imdb-pipeline-predict")
def predict_flow(settings: PredictSettings) -> dict[str, Any]:
    """Score texts, the rows of a file, the files of a folder that have no scores yet, or the lines that come in.

    --text may be given many times.

    Args:
        settings: what to score, and with which model.

    Returns:
        The model's name, and the label and probability of the text or the files written.

    Raises:
        InputError: some files cannot be scored; the others are scored first.
    """
    uri = tracking_uri()
    if settings.text is not None:
        return predict(settings, uri)
    source = user_path(settings.input or "")
    if source.resolve() == (store_root() / INBOX).resolve():  # a deployment looks into it before anybody has made it
        source.resolve().mkdir(parents=True, exist_ok=True)
    is_one = is_one_table(settings)
    if skipped := describe_unread(source) if is_one else describe_skipped(source):
        hint = "" if is_one or files_within(source) or not label_folders(source) else LABEL_FOLDERS_HINT
        run_logger().warning(skipped + hint)
    results = [predict(settings, uri)] if settings.runner == "none" else predict_in_parallel(settings, uri)
    joined: dict[str, Any] = {"files": [], "refused": []}
    for result in results:
        if isinstance(result, Exception):
            joined["refused"].append(describe(result))
        else:
            joined |= result | {name: joined[name] + result[name] for name in ("files", "refused")}
    if joined["refused"]:
        raise InputError("\n".join(joined["refused"]))
    return joined


def predict_in_parallel(settings: PredictSettings, uri: str | None) -> list[Any]:
    """Score each file that has no scores yet in a task of its own, all with the same version of the model."""
    todo = files_to_score(settings)
    if todo and settings.model is None:
        champion = find_version(None, settings.registered_model, uri)
        version = {"registered_model": champion.registered_model, "model": str(champion.number)}
        settings = settings.model_copy(update=version)
    return map_over(predict, [{"settings": settings, "uri": uri, "file": file.name} for file, _ in todo], settings)


def plan_scoring(settings: PredictSettings) -> list[StepPlan]:
    """Return which version would score what, where the scores would be, and which are there already."""
    model = find_version(settings.model, settings.registered_model, tracking_uri()).name
    if settings.input in (None, STDIN):
        return [StepPlan("predict", "runs", f"{model} scores; the scores are printed")]
    is_one, plans = is_one_table(settings), []
    for file, output in files_and_outputs(settings):
        if not is_one and is_scored(file, output):
            plans.append(StepPlan(file.name, "cached", str(output)))
            continue
        parts = len(list(parts_of(output).glob("[0-9]*.parquet")))
        changed = "; it has changed since it was scored" if output.exists() and not is_one else ""
        kept = f"; {parts} scored parts stay if they are of the same file and model" if parts else ""
        plans.append(StepPlan(file.name, "resumes" if parts else "runs", f"{output}, by {model}{changed}{kept}"))
    return plans


def main() -> int:
    """Score what the command line names; texts and lines without Prefect, in less time than importing it takes."""
    sys.argv[1:], texts = split_texts(sys.argv[1:])
    without_flow = partial(score_without_flow, texts)
    return run_flow(predict_flow, PredictSettings, show_prediction, check_places, plan_scoring, without_flow)


if __name__ == "__main__":
    raise SystemExit(main())
