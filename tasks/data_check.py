"""Data check: duplicates, giveaways, damaged texts and shifts between splits, before anything is trained."""

from pathlib import Path
from typing import Any

from tasks.core.command_settings import CheckLimits
from tasks.data_checks.check_texts import check_texts, find_exceeded
from tasks.store.step import run_logger, step


@step()
def data_check(*, downloaded: Path, folder: Path) -> dict[str, Any]:
    """Write check.json and suspects.csv, warn if limits are exceeded, and return the findings."""
    findings = check_texts(downloaded, folder)
    if exceeded := find_exceeded(findings, CheckLimits()):
        run_logger().warning("the texts exceed limits of imdb-pipeline check: %s", "; ".join(exceeded[:3]))
    return findings
