"""Logged: what MLflow is told of any run: settings as parameters, and who logs, where and from which commit."""

import platform
from typing import Any

from tasks.core.environment import store_root
from tasks.core.machine import describe_machine

# MLflow is imported inside the functions that need it: a run that finds itself remembered never pays for it.


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `section.setting`: text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


def describe_run(content: str) -> dict[str, str]:
    """Return the tags of a run: what it was, who logs it, on which machine and from which commit."""
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_GIT_DIRTY

    machine = describe_machine()
    names = {"commit": MLFLOW_GIT_COMMIT, "dirty": MLFLOW_GIT_DIRTY}
    facts = {names.get(name, name): str(value) for name, value in machine.items() if value is not None}
    return {"content": content, "store": name_store()} | facts


def name_store() -> str:
    """Return a name that this store has on a server that others use too."""
    return f"{platform.node()}:{store_root()}"
