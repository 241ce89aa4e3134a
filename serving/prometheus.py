"""Counts: what the service has done, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Counts:
    """The service's own numbers; two services in a process have each their own."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        """Begin at nothing; `waiting` tells how many texts wait."""
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("classifier_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "classifier_seconds", "Seconds to an answer.", ["path"], buckets=SECONDS, registry=registry
        )
        self.texts = Counter("classifier_texts", "Texts scored, by their label.", ["label"], registry=registry)
        self.batches = Histogram("classifier_batch_texts", "Texts scored together.", buckets=TEXTS, registry=registry)
        self.swaps = Counter("classifier_champions", "Champions taken up since the start.", registry=registry)
        self.serves = Gauge("classifier_serves", "1 for who serves.", ["model"], registry=registry)
        Gauge("classifier_waiting_texts", "Texts that wait to be scored.", registry=registry).set_function(waiting)

    def name(self, model: str) -> None:
        """Say who serves."""
        self.serves.clear()
        self.serves.labels(model).set(1)

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        return generate_latest(self.registry)
