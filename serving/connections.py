"""Connections: close those that send a request's head too slowly, and those above a limit."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class LimitedProtocol(H11Protocol):
    """Uvicorn's HTTP protocol with a time limit for the head of a request, which uvicorn lacks."""

    patience: ClassVar[float]
    max_connections: ClassVar[int]
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the timer, or close a connection above the limit."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.close()
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Stop the timer once the head is complete."""
        super().data_received(data)
        if self._is_responding():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Start the timer for the next request."""
        super().on_response_complete()
        if not self._is_responding() and not self.transport.is_closing():
            self._start_timer()

    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.patience, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited_protocol(patience: float, max_connections: int) -> type[LimitedProtocol]:
    """Return the protocol with its limits; `patience` in seconds."""
    return type("Protocol", (LimitedProtocol,), {"patience": patience, "max_connections": max_connections})
