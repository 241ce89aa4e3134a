"""Promote: make a version the champion by hand, roll back, list the champions, or track a run that was not tracked."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from typing import Any

from prefect import flow

from tasks.core.flow_settings import PromoteSettings
from tasks.evaluation.scores import HeldOutScores, read_scores
from tasks.promote import list_champions, make_champion, preview_decision, promote
from tasks.registry import versions
from tasks.registry.client import tracking_uri
from tasks.registry.contest import Contender
from tasks.registry.loading import reader
from tasks.registry.local_database import OwnVersion
from tasks.reporting.screen import show_promotion
from tasks.run_folder import complete_run_folder, read_run
from tasks.store.causes import StepPlan
from tasks.store.run_record import RunRecord, folder_of, read_record
from tasks.store.shared_store import open_store
from tasks.texts.dataset import Dataset
from tasks.texts.downloaded import identify_texts
from tasks.track import content_of_bundle, describe_version, find_registered, track


@flow(name="imdb-pipeline-promote", persist_result=False)
def promote_flow(settings: PromoteSettings) -> dict[str, Any]:
    """Make a registered version the champion, or track a finished run that could not be tracked and decide on it.

    Args:
        settings: the version and its model, or the run.

    Returns:
        The record: decision, reason, against (the version replaced, or null), model, version; or the champions so far.
    """
    uri = tracking_uri()
    if settings.list:
        return list_champions(settings, uri)
    if settings.run is None:
        return make_champion(settings, uri)
    folder, asked, artifacts = read_run(settings.run, open_store())
    tracking = track(settings=asked, artifacts=artifacts, uri=uri)
    metric = asked.evaluation.metric
    promotion = promote(tracking=tracking, downloaded=artifacts.downloaded, settings=asked.promotion, metric=metric)
    complete_run_folder(folder, asked, artifacts, tracking, promotion)
    return promotion


def plan_promotion(settings: PromoteSettings) -> list[StepPlan]:
    """Return the decision that would be taken."""
    uri = tracking_uri()
    with reader(uri) as client:
        if settings.run:
            return [plan_decision(read_record(settings.run, open_store()), client, uri)]
        model = versions.model_or_default(client, settings.registered_model)
        if settings.list:
            return [StepPlan("list", "runs", f"{len(versions.past_champions(client, model))} champions of {model}")]
        number = settings.version or versions.champion_before(client, model)
        version, before = (
            versions.version_or_champion(client, model, number),
            versions.version_under(client, model, versions.CHAMPION),
        )
        replaced = f", in place of version {before.version}" if before and before.version != version.version else ""
        return [StepPlan("promote", versions.CHAMPION, f"version {number} of {model}{replaced}")]


def plan_decision(run: RunRecord, client: versions.Models, uri: str | None) -> StepPlan:
    """Return the decision on the model of a run."""
    store = open_store()
    downloaded, selected, _ = (folder_of(run, step, store) for step in ("download", "select", "package"))
    data, dataset = run.settings.data, Dataset.read(downloaded)
    content = content_of_bundle(store.read(run.artifacts["package"].key))
    reviews = identify_texts(downloaded, data.shuffle_seed, data.max_reviews)
    model = run.settings.tracking.registered_model or versions.default_name(dataset.name)
    number = find_registered(client, uri, model, content)
    numbers = [int(its.version) for its in client.search_model_versions(f"name = '{model}'")]
    tags = describe_version(run.settings, dataset, content, reviews)
    new = OwnVersion(model, str(1 + max(numbers, default=0)), "", tags, None)
    version = client.get_model_version(model, str(number)) if number else new
    contender = Contender(version, HeldOutScores(read_scores(selected, "test"), reviews))
    metric = run.settings.evaluation.metric
    decision = preview_decision(client, uri, contender, downloaded, run.settings.promotion, metric)
    return StepPlan("promote", decision.decision, f"{model}: {decision.reason}")


main = partial(run_flow, promote_flow, PromoteSettings, show_promotion, lambda _settings: None, plan_promotion)

if __name__ == "__main__":
    raise SystemExit(main())
