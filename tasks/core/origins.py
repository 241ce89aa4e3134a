"""Origins: which variable or file a setting of Prefect comes from, so that a message can say where to mend it."""

import os
from pathlib import Path


def settings_files() -> list[Path]:
    """Return the files that Prefect takes settings from, in the order in which it looks, as far as they exist."""
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or Path(os.environ.get("PREFECT_HOME", "")) / "profiles.toml"
    files = [Path(".env"), Path("prefect.toml"), Path("pyproject.toml"), Path(profiles)]
    return [file.absolute() for file in files if file.is_file()]


def origin_of(value: str, variable: str = "") -> str | None:
    """Return what sets one of Prefect's settings to `value`: a variable's name or a file; None where neither is found.

    Args:
        value: as it was written.
        variable: the one that it would be; without it, any of Prefect's.
    """
    for name in [variable] if variable else sorted(os.environ):
        if name.startswith("PREFECT_") and os.environ.get(name) == value:
            return name
    return next((str(file) for file in settings_files() if value in file.read_text("utf-8", "replace")), None)
