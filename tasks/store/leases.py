"""Leases: locks in an object store, which expire if their holder stops renewing them."""

import contextlib
import json
import logging
import math
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import StoreError
from tasks.store.bucket import Bucket

# Prefect shows what its own loggers' children say.
logger = logging.getLogger("prefect.locks")
SECONDS_VARIABLE = "ARTIFACTS_LEASE_SECONDS"
SECONDS = 60.0


class LeaseLostError(StoreError):
    """Another process has taken over the lease."""


def place_of(folder: Path) -> str:
    """Return what distinguishes a folder from those of other machines and containers; "" if this is not Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/mnt')} {folder.resolve()}"
    except OSError:
        return ""


class Lease:
    """An object that names its holder, who renews it every quarter of its term.

    A waiting process takes over a lease that has not changed for a whole term by the object store's clock, so clocks of
    different machines are never compared. A holder that was suspended for longer notices at its next write; until then
    two may do the same work, so their writes must allow for that.

    It takes over at once a lease of its own copy of the store: there it holds the lock of `key`, which the holder held
    too, so the holder has ended.
    """

    def __init__(self, bucket: Bucket, key: str, seconds: float, place: str = "") -> None:
        """Prepare to hold `key` for terms of `seconds`; `place` names the copy whose lock of `key` is held."""
        # A lost response must not cost the lease: the request is repeated well before the term is over.
        self.bucket, self.seconds = Bucket(bucket.address, max(2.0, seconds / 6)), seconds
        self.name = f"locks/{key}.lease"
        self.holder, self.place = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}", place
        self.beats = 0
        self.tag: str | None = None
        self._turn, self._ended = threading.Lock(), threading.Event()

    def take(self, what: str, *, wait: bool = True) -> bool:
        """Take the lease, and return whether it is held; without `wait`, only if it is free. `what` is for the log."""
        said = False
        while True:
            self.tag = self.bucket.create(self.name, self._record())
            if self.tag:
                return True
            if (standing := self.bucket.tag_and_age(self.name)) is None:
                continue  # it vanished meanwhile
            (tag, age), (holder, term, place) = standing, self._read()
            ended = bool(place) and place == self.place
            if holder is None or ended or age > term:
                self.tag = self.bucket.replace(self.name, self._record(), tag)
                if self.tag:
                    if holder:
                        sign = "has ended" if ended else f"has given no sign of life for {term:.0f} s"
                        logger.warning("%s: %s %s; taking over", what, holder, sign)
                    return True
            elif not wait:
                return False
            if not said and holder:
                logger.info("%s: %s is at it; waiting until it is done", what, holder)
                said = True
            time.sleep(min(2.0, self.seconds / 20))

    def check(self) -> None:
        """Renew the lease, or raise LeaseLostError if another process has it."""
        with self._turn:
            if self.tag:
                self.tag = self._rewrite(self.tag)
            if self.tag is None:
                place, term = self.bucket.where(self.name), f"{self.seconds:.0f} s"
                raise LeaseLostError(
                    f"{place}: another worker has taken over after {term} without a renewal; run again"
                )

    def _rewrite(self, tag: str) -> str | None:
        """Replace the object that has `tag` and return the new tag, or None if another process has the lease.

        A write whose response was lost has changed the tag, but the lease is still ours.
        """
        written = self.bucket.replace(self.name, self._record(), tag)
        if written is None and (standing := self.bucket.tag(self.name)) and self._read()[0] == self.holder:
            written = self.bucket.replace(self.name, self._record(), standing)
        return written

    def keep(self) -> None:
        """Renew the lease every quarter of its term until it ends or is lost; runs in a thread."""
        while not self._ended.wait(self.seconds / 4):
            try:
                self.check()
            except LeaseLostError as lost:
                logger.warning("%s", lost)
                return
            except StoreError as trouble:
                logger.warning("%s; trying again", trouble)

    def free(self) -> None:
        """Stop holding it."""
        self._ended.set()
        with self._turn:
            if self.tag:
                try:
                    self.bucket.replace(self.name, self._record(free=True), self.tag)
                except StoreError as trouble:
                    logger.warning("%s; the others wait for %.0f s", trouble, self.seconds)
                self.tag = None

    def _record(self, *, free: bool = False) -> bytes:
        """Return the content of the object, which differs each time."""
        self.beats += 1
        record = {"holder": None if free else self.holder, "seconds": self.seconds, "beat": self.beats}
        return json.dumps(record | {"written_by": self.holder, "place": self.place}).encode()

    def _read(self) -> tuple[str | None, float, str]:
        """Return the holder, or None, its term in seconds, and its place."""
        try:
            record = json.loads(self.bucket.read(self.name) or b"{}")
            return record.get("holder"), float(record.get("seconds", 0)), record.get("place", "")
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreError(f"{self.bucket.where(self.name)}: not a lease of ours; remove it") from error


def lease_seconds() -> float:
    """Return the term of leases: $ARTIFACTS_LEASE_SECONDS, or a minute; raise StoreError if it is not above 0."""
    named = os.environ.get(SECONDS_VARIABLE) or str(SECONDS)
    with contextlib.suppress(ValueError):
        if 0 < float(named) < math.inf:
            return float(named)
    raise StoreError(f"{SECONDS_VARIABLE}={named}: expected seconds, more than 0")


@contextlib.contextmanager
def leased(bucket: Bucket, key: str, copy: Path | None = None, *, wait: bool = True) -> Iterator[Lease | None]:
    """Hold the lease of `key`, and yield it; without `wait`, yield None if another process has it.

    `copy` is the folder whose lock of `key` the caller holds.
    """
    lease = Lease(bucket, key, lease_seconds(), place_of(copy) if copy else "")
    if not lease.take(key, wait=wait):
        yield None
        return
    threading.Thread(target=lease.keep, name=f"lease of {key}", daemon=True).start()
    try:
        yield lease
    finally:
        lease.free()
