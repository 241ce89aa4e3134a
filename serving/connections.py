"""Connections: close those whose client sends or reads too slowly, and those above a limit."""

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MIN_READ_BYTES = 1 << 16  # that a client must read within `patience` seconds, if so much waits for it


class CountedTransport:
    """A transport that counts the bytes of responses."""

    def __init__(self, transport: Any) -> None:
        self._transport, self.written = transport, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write and count."""
        self.written += len(data)
        self._transport.write(data)


class LimitedProtocol(H11Protocol):
    """Uvicorn's HTTP protocol with time limits for a request's head and for reading responses, which uvicorn lacks."""

    patience: ClassVar[float]
    max_connections: ClassVar[int]
    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the timers, or close a connection above the limit."""
        self._counted = cast(Any, CountedTransport(transport))
        super().connection_made(self._counted)
        self._watch_reading(0)
        if len(self.connections) > self.max_connections:
            transport.close()
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_timer()
        if self._reading:
            self._reading.cancel()
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

    def _watch_reading(self, before: int) -> None:
        """Check regularly whether the client reads; a closed connection, too, lasts until everything is read."""
        self._reading = self.loop.call_later(self.patience, self._check_reading, before)

    def _check_reading(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        read = self._counted.written - waiting
        if waiting and read < before + MIN_READ_BYTES:
            self.transport.abort()
        else:
            self._watch_reading(read)

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
