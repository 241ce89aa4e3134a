"""Run tags: settings as MLflow parameters, and the machine, store and commit of a run."""

import hashlib
import platform
import secrets
from typing import Any

from tasks.core.environment import store_root
from tasks.core.files import replace_file
from tasks.core.machine import describe_machine


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `section.setting`: text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


def describe_run(content: str) -> dict[str, str]:
    """Return the tags of a run: its content, machine, commit and store."""
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_GIT_DIRTY

    machine = describe_machine()
    names = {"commit": MLFLOW_GIT_COMMIT, "dirty": MLFLOW_GIT_DIRTY}
    facts = {names.get(name, name): str(value) for name, value in machine.items() if value is not None}
    place = f"{platform.node()}:{store_root()}"
    return {"content": content, "store": place, "store_id": store_id()} | facts


def store_id() -> str:
    """Return an id that distinguishes this store from others on the same server, wherever it is moved or mounted.

    It is created at first use; call this under the lock `mlflow/log`.
    """
    path = store_root() / "mlflow" / "id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, secrets.token_hex(16).encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()
