"""Housekeeping: list, verify and prune the artifacts that runs have left behind."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import Flags, run_flow

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from tasks.core.command_settings import HousekeepingSettings
from tasks.core.environment import store_root
from tasks.reporting.terminal_output import show_inventory
from tasks.store.fingerprint import StepPlan
from tasks.store.inventory import artifact_keys, list_artifacts
from tasks.store.pruning import Pruned, prune
from tasks.store.step import flow, run_logger

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@flow("imdb-pipeline-housekeeping")
def housekeeping_flow(settings: HousekeepingSettings = HousekeepingSettings()) -> dict[str, Any]:
    """List the store's artifacts, verify their hashes, or prune those that no run uses any longer."""
    return run_action(settings, run_logger())


def run_action(settings: HousekeepingSettings, logger: Logger) -> dict[str, Any]:
    """List, verify or prune, and log what is damaged or in use."""
    if settings.action == "prune":
        found = prune(store_root(), settings.days)
    else:
        found = Pruned(list_artifacts(store_root(), verified=settings.action == "verify"))
    for entry in found.artifacts:
        if entry["damage"]:
            logger.warning("%s; the next run that needs it rebuilds it", entry["damage"])
    for key in found.held:
        logger.info("%s stays, because a running process holds it", key)
    size = sum(entry["size"] for entry in found.artifacts)
    logger.info("%s: %d artifacts, %d bytes", settings.action, len(found.artifacts), size)
    return {"action": settings.action} | asdict(found)


def plan_housekeeping(settings: HousekeepingSettings) -> list[StepPlan]:
    """Return what would be removed, and what stays because a running process holds it."""
    root = store_root()
    if settings.action != "prune":
        count = len(artifact_keys(root))
        return [StepPlan(settings.action, "runs", f"reads {count} artifacts, changes none")]
    found = prune(root, settings.days, dry_run=True)
    return [
        *(
            StepPlan(its["key"], "removed", f"{its['size'] / 1e6:.1f} MB, {its['days']:.1f} days since use")
            for its in found.artifacts
        ),
        *(StepPlan(name, "removed") for name in found.removed),
        *(StepPlan(key, "kept", "a running process holds it") for key in found.held),
    ]


def read_if_asked(settings: HousekeepingSettings, flags: Flags) -> Callable[[], int] | None:
    """Return what lists or verifies, which need neither Prefect nor a store that can be written; None to prune."""
    if settings.action == "prune" or flags.dry_run or flags.json_ or not store_root().is_dir():
        return None  # to the flow, whose checks refuse a path that is not a folder
    return lambda: show_inventory(run_action(settings, logging.getLogger(__name__)))


main = partial(
    run_flow,
    housekeeping_flow,
    HousekeepingSettings,
    show_inventory,
    plan=plan_housekeeping,
    without_flow=read_if_asked,
)

if __name__ == "__main__":
    raise SystemExit(main())
