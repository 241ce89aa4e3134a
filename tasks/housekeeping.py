"""Housekeeping: list, verify and prune the artifacts in the store."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.core.environment import store_root
from tasks.core.flow_settings import HousekeepingSettings
from tasks.core.layout import COMPARISON, COMPARISONS, CONFIG, METRICS, RUNS
from tasks.store.artifact import DamagedError
from tasks.store.inventory import Entry, foreign_files, list_artifacts
from tasks.store.pruning import Pruned, prune
from tasks.store.store import Store


def verify_artifacts(root: Path) -> list[Entry]:
    """Return every artifact, with the damage if a size or hash differs from its manifest."""
    entries = list_artifacts(root)
    for entry in entries:
        try:
            Store(root).find(entry["key"])
        except DamagedError as damage:
            entry["damage"] = str(damage)
    return entries


def damaged_runs(root: Path) -> list[str]:
    """Return the run folders, and those of comparisons, whose JSON files are missing or unreadable."""
    damaged = []
    for place, numbers in ((RUNS, METRICS), (COMPARISONS, COMPARISON)):
        for folder in sorted((root / place).glob("[!.]*/")):
            try:
                for name in (CONFIG, numbers):
                    json.loads((folder / name).read_bytes())
            except (OSError, ValueError):
                damaged.append(f"{place}/{folder.name}")
    return damaged


NAMED = 20
NOT_OURS = """%d files or folders in %s are not ours, or not as we wrote them, and are left as they are:
  %s"""


def name_some(names: list[str]) -> str:
    """Return the first names, one per line, and how many more there are."""
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return "\n  ".join([*names[:NAMED], *more])


@task(cache_policy=NO_CACHE, task_run_name="{settings.action}")
def run_housekeeping(settings: HousekeepingSettings) -> dict[str, Any]:
    """List, verify or prune the store's artifacts."""
    root, say, damaged = store_root(), get_run_logger(), []
    found = Pruned(foreign_files=foreign_files(root))
    if settings.action == "prune":
        found = prune(root, settings.days)
    elif settings.action == "verify":
        found.artifacts, damaged = verify_artifacts(root), damaged_runs(root)
    else:
        found.artifacts = list_artifacts(root)
    for entry in found.artifacts:
        if entry["damage"]:
            say.warning("%s; the next run that needs it rebuilds it", entry["damage"])
    for name in damaged:
        say.warning("%s: config.json, or the file of its numbers, is missing or unreadable", root / name)
    for key in found.held:
        say.info("%s stays, because a running process holds it", key)
    if found.foreign_files:
        say.warning(NOT_OURS, len(found.foreign_files), root, name_some(found.foreign_files))
    freed = sum(entry["size"] for entry in found.artifacts)
    say.info("%s: %d artifacts, %d bytes", settings.action, len(found.artifacts), freed)
    return {"action": settings.action, "damaged_runs": damaged} | asdict(found)
