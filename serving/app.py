"""The HTTP application: endpoints, authentication, Prometheus metrics and the web page."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from serving.batching import Batcher, QueueFull
from serving.champion import Champion
from serving.requests import PredictRequest, read_body, read_request
from serving.settings import ServeSettings
from tasks.network.verdicts import MAX_STEPS, judge_texts

logger = logging.getLogger("serving")
BATCH_SIZE = 256
OPEN = ("/", "/health", "/docs")  # need no token: they reveal neither texts nor the model
# The page's style and script are inline; it may connect to this service only.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": POLICY}
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

    def text(self, serves: str, rejected: str | None) -> bytes:
        """Return all metrics in Prometheus's text format; `serves` and `rejected` are names of models."""
        for gauge, model in ((self.serves, serves), (self.rejects, rejected)):
            gauge.clear()
            if model:
                gauge.labels(model).set(1)
        return generate_latest(self.registry)


class Service:
    """State that the endpoints share."""

    def __init__(self, settings: ServeSettings, champion: Champion) -> None:
        self.settings, self.champion = settings, champion
        self.batcher = Batcher(self.score, BATCH_SIZE, settings.max_waiting)
        self.explaining = asyncio.Semaphore(1)
        self.counts = Counts(lambda: self.batcher.texts_waiting)

    def score(self, texts: list[str], explain: int = 0) -> tuple[str, list[dict[str, Any]]]:
        """Return the model's name and the verdicts, with their `explain` most influential words."""
        classifier = self.champion.now.classifier
        if not explain:
            self.counts.batches.observe(len(texts))
        return classifier.name, judge_texts(classifier, texts, explain, min(MAX_STEPS, 2 * MAX_STEPS // len(texts)))

    async def predict(self, request: PredictRequest) -> dict[str, Any]:
        """Return the response of /predict; raise HTTPException if too many texts are waiting."""
        try:
            if request.explain:
                # Explaining scores a text once per word, so it runs outside the queue and delays no other request.
                if self.explaining.locked():
                    raise QueueFull
                async with self.explaining:
                    name, verdicts = await run_in_threadpool(self.score, request.texts, request.explain)
            else:
                name, verdicts = await self.batcher.judge(request.texts)
        except QueueFull:
            raise HTTPException(503, "too many texts are waiting; try again later", {"Retry-After": "1"}) from None
        for verdict in verdicts:
            self.counts.texts.labels(verdict["label"]).inc()
        predictions = [verdict | {"words": [share._asdict() for share in verdict["words"]]} for verdict in verdicts]
        return {"model": name, "predictions": predictions}

    async def poll(self) -> None:
        """Check for a new champion regularly, until cancelled."""
        while True:
            await asyncio.sleep(self.settings.look_seconds)
            if await run_in_threadpool(self.champion.look):
                self.counts.swaps.inc()

    def rejected(self) -> str | None:
        """Return the name of the champion that could not be loaded, so that an older model serves; or None."""
        return self.champion.rejected.name if self.champion.rejected else None

    def describe(self) -> dict[str, Any]:
        """Return the response of /model."""
        now, facts = self.champion.now, {"labels", "threshold", "dataset", "dataset_sha256"}
        return {
            "name": now.classifier.name,
            "registered_model": now.classifier.registered_model,
            "version": now.found.number,
            "content_sha256": now.found.content,
            **now.classifier.facts.model_dump(include=facts),
            "limits": self.settings.model_dump(include={"max_texts", "max_characters", "max_explained", "max_body"}),
        }

    @contextlib.asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the batcher and the poll for champions as long as the application runs."""
        tasks = [asyncio.create_task(loop) for loop in (self.batcher.work(), self.poll())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def authenticate(self, request: Request) -> None:
        """Check the bearer token; raise HTTPException if one is required and the request has another one or none."""
        token = self.settings.token
        if token is None or request.scope["route"].path in OPEN:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise HTTPException(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})

    async def handle(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Handle and count a request; an unexpected error is logged and never shown to the client."""
        started = time.perf_counter()
        try:
            response = await call_next(request)
        except Exception:
            logger.exception("a request to %s failed", request.scope["path"])
            response = JSONResponse({"detail": "internal error; see the log of the service"}, 500)
        for name, value in SAFE.items():
            response.headers.setdefault(name, value)
        path = getattr(request.scope.get("route"), "path", "other")
        self.counts.requests.labels(path, response.status_code).inc()
        self.counts.seconds.labels(path).observe(time.perf_counter() - started)
        return response


PREDICT_EXAMPLE = {"texts": ["I loved every minute"], "explain": 3}
PREDICT_CONTENT = {"application/json": {"schema": PredictRequest.model_json_schema(), "example": PREDICT_EXAMPLE}}


def read_page(name: str) -> str:
    """Return the HTML of a page of this package; its links are relative, so it works behind any path prefix."""
    return resources.files("serving").joinpath(name).read_text("utf-8")


def create_app(settings: ServeSettings, champion: Champion) -> FastAPI:
    """Return the ASGI application."""
    service = Service(settings, champion)
    app = FastAPI(
        title="A recurrent text classifier",
        description="Returns labels and probabilities for texts.",
        version="1",
        docs_url=None,  # FastAPI's page loads a script from another host
        redoc_url=None,
        dependencies=[Depends(service.authenticate)],
        lifespan=service.running,
    )
    app.middleware("http")(service.handle)

    body_schema = {"requestBody": {"required": True, "content": PREDICT_CONTENT}}

    @app.post("/predict", openapi_extra=body_schema, summary="Score texts")
    async def predict(request: Request) -> Response:
        # Parsing and writing a megabyte of JSON would delay other requests.
        body = await read_body(request, settings)
        predicted = await service.predict(await run_in_threadpool(read_request, body, settings))
        return await run_in_threadpool(JSONResponse, predicted)

    @app.get("/health", summary="Whether the service is up")
    async def health() -> Response:
        rejected = service.rejected()
        health = {"status": "ok", "token": settings.token is not None}
        return JSONResponse(health | ({"rejected_champion": rejected} if rejected else {}))

    @app.get("/model", summary="The model's version, labels and limits")
    async def model() -> Response:
        return JSONResponse(service.describe())

    @app.get("/metrics", summary="Metrics in Prometheus's text format")
    async def metrics() -> Response:
        text = service.counts.text(champion.now.classifier.name, service.rejected())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(read_page("page.html"))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(read_page("docs.html"))

    return app
