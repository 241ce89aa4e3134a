"""Remembered: what the store's own registry was found to hold, for as long as its database has not changed.

To ask MLflow is to import it, which takes longer than all else that a run from the cache does.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.core.files import explain_os_errors, replace_file
from tasks.registry.local_database import own_database


def state_of(database: Path) -> str:
    """Return a hash of all that a SQLite database holds: of its file, and of the logs that may lie beside it."""
    state = hashlib.sha256()
    for path in (database, *(database.with_name(f"{database.name}-{log}") for log in ("journal", "wal"))):
        content = path.read_bytes() if path.exists() else b""
        state.update(f"{len(content)}:".encode() + content)
    return state.hexdigest()


def notebook() -> Path:
    """Return where answers are kept: beside the database, so that they go where that goes."""
    return own_database().parent / "remembered.json"


def read_answers(state: str) -> dict[str, Any]:
    """Return all answers that hold in a state of the database; to find none is never wrong, only slow."""
    try:
        notes = json.loads(notebook().read_bytes())
        answers: dict[str, Any] = notes["answers"] if notes["state"] == state else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return answers


def recall(question: str) -> Any:
    """Return the answer to a question, or None where it is not known or the database has changed since."""
    return read_answers(state_of(own_database())).get(question)


def remember(question: str, answer: Any, state: str) -> None:
    """Keep the answer to a question; those of another state are dropped.

    Args:
        question: a hash of all that the answer depends on beside the database.
        answer: a JSON value.
        state: of the database, from before it was asked.
    """
    notes = {"state": state, "answers": read_answers(state) | {question: answer}}
    with explain_os_errors(notebook()):
        replace_file(notebook(), json.dumps(notes).encode())
