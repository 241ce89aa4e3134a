"""Connections: close those whose client begins no request, which uvicorn leaves open."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, which closes a connection without a new request, or its whole head, for `patience` s."""

    patience: ClassVar[float]
    _timer: asyncio.TimerHandle

    def connection_made(self, transport: Any) -> None:
        """Start the timer."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        self._timer = self.loop.call_later(self.patience, self._check, self.cycle, is_idle)

    def _check(self, before: Any, was_idle: bool) -> None:
        if was_idle and self.cycle is before:
            self.transport.close()
        else:
            self._watch()


def patient_protocol(seconds: float) -> type[PatientProtocol]:
    """Return the protocol with its `patience`."""
    return type("Protocol", (PatientProtocol,), {"patience": seconds})
