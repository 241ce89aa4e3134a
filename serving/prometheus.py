"""Prometheus metrics of the service."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Counts:
    """Counters of one service, in a registry of their own, so that one process can hold two services."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("classifier_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "classifier_seconds", "Seconds per request.", ["path"], buckets=SECONDS, registry=registry
        )
        self.texts = Counter("classifier_texts", "Texts scored, by label.", ["label"], registry=registry)
        self.batches = Histogram("classifier_batch_texts", "Texts per batch.", buckets=TEXTS, registry=registry)
        self.swaps = Counter("classifier_champions", "New champions loaded since the start.", registry=registry)
        self.serves = Gauge("classifier_serves", "1 for the model that serves.", ["model"], registry=registry)
        self.rejects = Gauge(
            "classifier_rejected", "1 for the champion that could not be loaded.", ["model"], registry=registry
        )
        Gauge("classifier_waiting_texts", "Texts waiting to be scored.", registry=registry).set_function(waiting)

    def set_model(self, gauge: Gauge, model: str | None) -> None:
        """Set the one model that a gauge, `serves` or `rejects`, names, or none."""
        gauge.clear()
        if model:
            gauge.labels(model).set(1)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)
