"""Promote: make a version the champion by hand, roll back, or list the champions."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import Flags, run_flow

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from tasks.core.command_settings import PromoteSettings
from tasks.promote import list_champions, make_champion
from tasks.registry import versions
from tasks.registry.client import tracking_uri
from tasks.registry.loading import reader
from tasks.reporting.terminal_output import show_champions, show_promotion
from tasks.store.fingerprint import StepPlan
from tasks.store.step import flow


@flow("imdb-pipeline-promote")
def promote_flow(settings: PromoteSettings) -> dict[str, Any]:
    """Make a registered version the champion.

    Args:
        settings: the version and its model.

    Returns:
        The record: decision, reason, against (the version replaced, or null), model, version; or the champions so far.
    """
    uri = tracking_uri()
    return list_champions(settings, uri) if settings.list else make_champion(settings, uri)


def plan_promotion(settings: PromoteSettings) -> list[StepPlan]:
    """Return which version would be the champion."""
    with reader(tracking_uri()) as client:
        model = versions.model_or_default(client, settings.registered_model)
        number = settings.version or versions.champion_before(client, model)
        versions.version_or_champion(client, model, number)  # is an error if there is none
        before = versions.version_under(client, model, versions.CHAMPION)
        replaced = f", in place of version {before.version}" if before and int(before.version) != number else ""
        return [StepPlan("promote", versions.CHAMPION, f"version {number} of {model}{replaced}")]


def list_if_asked(settings: PromoteSettings, flags: Flags) -> Callable[[], None] | None:
    """Return what lists the champions so far, which needs neither Prefect nor, of the store's own registry, MLflow."""
    if not settings.list:
        return None
    show = (lambda record: print(json.dumps(record))) if flags.json_ else show_champions
    return lambda: show(list_champions(settings, tracking_uri()))


main = partial(run_flow, promote_flow, PromoteSettings, show_promotion, plan=plan_promotion, without_flow=list_if_asked)

if __name__ == "__main__":
    raise SystemExit(main())
