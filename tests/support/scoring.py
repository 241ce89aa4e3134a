"""Scoring of files in tests."""

from pathlib import Path
from typing import Any

from tasks.core.command_settings import PredictSettings


def ignore(_share: float, _name: str) -> None:
    """Show no progress."""


def ask(source: Path | str, output: Path | str, **values: Any) -> PredictSettings:
    """Return the settings that score one place to another."""
    return PredictSettings(input=str(source), output=str(output), **values)
