"""The registry lock: one process at a time registers a model and moves its aliases, also among stores that share it."""

import contextlib
import logging
import random
import socket
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.core.environment import store_root
from tasks.core.errors import RegistryError
from tasks.core.files import digest
from tasks.store.store import Store

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

logger = logging.getLogger("prefect.registry")
PREFIX = "claim."
LEASE = 60.0  # seconds after which the holder counts as killed; work under the lock takes about three
TIMEOUT_SECONDS = 10 * LEASE


@contextlib.contextmanager
def registry_lock(
    client: "MlflowClient", uri: str | None, model: str, *, lease: float = LEASE, pause: float = 0.5
) -> Iterator[None]:
    """Hold the right to register `model` and to move its aliases; hold it for seconds only.

    In the store's own registry that is a file lock. A shared registry has neither locks nor conditional writes: each
    process writes a tag of its own and then looks for those of others. If two write at once, at least one sees the
    other's, takes its own back and tries again later, so two never continue together (the flag principle: Herlihy and
    Shavit, The Art of Multiprocessor Programming). A tag seen for a whole lease is of a killed process and is removed.

    Args:
        client: of the registry; a write is seen by every read after it.
        uri: of the registry; None for the store's own.
        lease: seconds.
        pause: seconds between tries; up to twice as many, at random.

    Raises:
        RegistryError: others held it all the time.
    """
    if uri is None:
        # Hashed, because a model's name may be too long for a file's.
        with Store(store_root()).locked(f"promotion/{digest(model)}"):
            yield
        return
    deadline, first_seen = time.monotonic() + TIMEOUT_SECONDS, dict[str, float]()
    while True:
        own = f"{PREFIX}{uuid.uuid4().hex}"
        try:
            client.set_registered_model_tag(model, own, socket.gethostname())
            others = claims(client, model) - {own}
            if not others:
                yield
                return
        finally:
            client.delete_registered_model_tag(model, own)
        now = time.monotonic()
        if now > deadline:
            raise RegistryError(f"{model}: others held its lock for {TIMEOUT_SECONDS:.0f} s; run the same again")
        first_seen = {other: first_seen.get(other, now) for other in others}
        for other, since in first_seen.items():
            if now - since > lease:
                logger.warning("%s: the process that held its lock was killed; going on", model)
                client.delete_registered_model_tag(model, other)
        time.sleep(pause * (1 + random.random()))


def claims(client: "MlflowClient", model: str) -> set[str]:
    """Return the tags by which processes hold or want the lock of a model at present."""
    return {tag for tag in client.get_registered_model(model).tags if tag.startswith(PREFIX)}
