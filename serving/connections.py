"""Connections: who takes too long over the head of a request, or comes when there are too many, is let go."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """HTTP by uvicorn, whose own patience with a head that never ends has no end."""

    patience: ClassVar[float]
    max_connections: ClassVar[int]
    waited_for: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or close it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.close()
            return
        self.expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self.stop_expecting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is whole stops the clock."""
        super().data_received(data)
        if self.is_answering():
            self.stop_expecting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.is_answering() and not self.transport.is_closing():
            self.expect()

    def is_answering(self) -> bool:
        """Tell whether a request has come and is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def expect(self) -> None:
        """Start the clock within which the head of a request must come."""
        self.stop_expecting()
        self.waited_for = self.loop.call_later(self.patience, self.transport.close)

    def stop_expecting(self) -> None:
        """Stop the clock."""
        if self.waited_for is not None:
            self.waited_for.cancel()
            self.waited_for = None


def protocol(patience: float, max_connections: int) -> type[PatientProtocol]:
    """Return the protocol with its limits."""
    return type("Protocol", (PatientProtocol,), {"patience": patience, "max_connections": max_connections})
