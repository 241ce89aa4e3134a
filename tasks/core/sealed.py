"""Sealed: records as JSON with a hash of themselves, so that a changed one is found out."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.core.errors import StoreError

Record = TypeVar("Record", bound=BaseModel)


class RotError(StoreError):
    """A kept artifact is not what its record says it is."""


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def seal(value: BaseModel) -> bytes:
    """Return a record as JSON with a hash of itself."""
    content = value.model_dump(mode="json")
    return json.dumps({"content": content, "sha256": digest(content)}, indent=1).encode()


def unseal(path: Path, kind: type[Record]) -> Record:
    """Return the record that `seal` wrote to `path`.

    Raises:
        RotError: it is missing, or not as it was written.
    """
    try:
        content = path.read_bytes()
        sealed = json.loads(content)
        record = kind.model_validate(sealed["content"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise RotError(f"{path}: missing or unreadable") from error
    if content != seal(record):
        raise RotError(f"{path}: altered")
    return record
