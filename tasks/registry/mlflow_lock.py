"""Claims: of several stores that share a registry, one at a time registers a model and moves its aliases."""

import contextlib
import logging
import random
import socket
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.core.errors import RegistryError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

logger = logging.getLogger("prefect.claims")
PREFIX = "claim."
LEASE = 60.0  # seconds after which a claim is of a process that has ended: what is done under one takes three
TIMEOUT_SECONDS = 10 * LEASE


def registry_lock(client: "MlflowClient", uri: str | None, model: str) -> contextlib.AbstractContextManager[None]:
    """Hold the right to decide on `model` against other stores; in the registry of one store its own locks do."""
    return contextlib.nullcontext() if uri is None else claimed(client, model)


@contextlib.contextmanager
def claimed(client: "MlflowClient", model: str, *, lease: float = LEASE, pause: float = 0.5) -> Iterator[None]:
    """Hold the right to decide on `model` in a registry that has neither locks nor conditional writes.

    Each claimant writes a tag of its own and then looks for those of others. Of two that write at once at least one
    sees the other's; whoever does takes its own back, and tries again a little later. So two never go on together: the
    flag principle of Herlihy and Shavit, The Art of Multiprocessor Programming. A claim whose holder was killed is
    taken away by who has seen it for a lease; so nobody may do under a claim what takes that long.

    Args:
        client: of the registry, whose writes are seen by whoever reads after them.
        model: its name there.
        lease: seconds.
        pause: seconds between tries; up to twice as many, by chance.

    Raises:
        RegistryError: others were at it all the time.
    """
    until, seen = time.monotonic() + TIMEOUT_SECONDS, dict[str, float]()
    while True:
        mine = f"{PREFIX}{uuid.uuid4().hex}"
        try:
            client.set_registered_model_tag(model, mine, socket.gethostname())
            others = claims(client, model) - {mine}
            if not others:
                yield
                return
        finally:
            client.delete_registered_model_tag(model, mine)
        now = time.monotonic()
        if now > until:
            raise RegistryError(f"{model}: others have decided on it for {TIMEOUT_SECONDS:.0f} s; run the same again")
        seen = {other: seen.get(other, now) for other in others}
        for other, since in seen.items():
            if now - since > lease:
                logger.warning("%s: who began to decide on it has ended in the middle; going on", model)
                client.delete_registered_model_tag(model, other)
        time.sleep(pause * (1 + random.random()))


def claims(client: "MlflowClient", model: str) -> set[str]:
    """Return the tags by which processes claim a model at present."""
    return {tag for tag in client.get_registered_model(model).tags if tag.startswith(PREFIX)}
