"""The service: texts in, verdicts out, and a page for people."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from serving.batching import Batcher, QueueFull
from serving.champion import Champion
from serving.prometheus import Counts
from serving.requests import PredictRequest, RequestError, read_body, read_request
from serving.settings import ServeSettings
from tasks.network.verdicts import judge_texts

logger = logging.getLogger("serving")
BATCH_SIZE = 256  # texts that are scored together
OPEN = (
    "/",
    "/health",
    "/docs",
    "/openapi.json",
)  # paths that no token is asked for; they say nothing of texts or model
# The page has its style and script within, and may ask this service alone.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": POLICY}


class Service:
    """What the endpoints share."""

    def __init__(self, settings: ServeSettings, champion: Champion) -> None:
        """Make ready to serve; nothing is scored before `running`."""
        self.settings, self.champion = settings, champion
        self.batcher = Batcher(self.score, BATCH_SIZE, settings.max_waiting)
        self.explaining = asyncio.Semaphore(1)
        self.counts = Counts(lambda: self.batcher.texts_waiting)
        self.counts.name(champion.now.classifier.name)

    def score(self, texts: list[str]) -> tuple[str, list[dict[str, Any]]]:
        """Return who scores now, and the verdicts."""
        classifier = self.champion.now.classifier
        self.counts.batches.observe(len(texts))
        return classifier.name, judge_texts(classifier, texts)

    def explain(self, texts: list[str], count: int) -> tuple[str, list[dict[str, Any]]]:
        """Return who scores now, and the verdicts with the words that moved them."""
        classifier = self.champion.now.classifier
        return classifier.name, judge_texts(classifier, texts, count)

    async def predict(self, asked: PredictRequest) -> dict[str, Any]:
        """Return what /predict answers.

        Raises:
            Refused: too much waits already.
        """
        try:
            if asked.explain:
                # A text is scored once for each of its words: beside the queue, so that the others need not wait.
                if self.explaining.locked():
                    raise QueueFull
                async with self.explaining:
                    name, verdicts = await run_in_threadpool(self.explain, asked.texts, asked.explain)
            else:
                name, verdicts = await self.batcher.judge(asked.texts)
        except QueueFull:
            raise RequestError(503, "too much waits already; come again", Retry_After="1") from None
        for verdict in verdicts:
            self.counts.texts.labels(verdict["label"]).inc()
        answers = [verdict | {"words": [share._asdict() for share in verdict["words"]]} for verdict in verdicts]
        return {"model": name, "predictions": answers}

    async def look(self) -> None:
        """Look for another champion, again and again."""
        while True:
            await asyncio.sleep(self.settings.look_seconds)
            if await run_in_threadpool(self.champion.look):
                self.counts.swaps.inc()
                self.counts.name(self.champion.now.classifier.name)

    def describe(self) -> dict[str, Any]:
        """Return what /model answers."""
        now = self.champion.now
        facts = now.classifier.facts
        return {
            "name": now.classifier.name,
            "registered_model": now.classifier.registered_model,
            "version": now.version,
            "content_sha256": now.content,
            "labels": facts.labels,
            "threshold": facts.threshold,
            "dataset": facts.dataset,
            "dataset_sha256": facts.dataset_sha256,
            "test": now.test,
            "report": "/report" if now.report else None,
            "limits": self.settings.model_dump(include={"max_texts", "max_characters", "max_explained", "max_body"}),
        }

    @contextlib.asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Score, and look for champions, as long as the service runs."""
        work = [asyncio.create_task(duty) for duty in (self.batcher.work(), self.look())]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def check(self, request: Request) -> None:
        """Refuse who has not the token.

        Raises:
            Refused: it is asked for, and not given.
        """
        token = self.settings.token
        if token is None or request.url.path in OPEN:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise RequestError(401, "a bearer token is asked for", WWW_Authenticate="Bearer")

    async def answer(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer a request, and count it; whatever goes wrong, no more than a sentence of it leaves the service."""
        began = time.perf_counter()
        try:
            self.check(request)
            response = await call_next(request)
        except RequestError as refused:
            response = JSONResponse({"detail": refused.detail}, refused.status, refused.headers)
        except Exception:
            logger.exception("a request to %s failed", request.url.path)
            response = JSONResponse({"detail": "the service failed; its log says why"}, 500)
        for name, value in SAFE.items():
            response.headers.setdefault(name, value)
        route = request.scope.get("route")
        path = getattr(route, "path", "other")
        self.counts.requests.labels(path, response.status_code).inc()
        self.counts.seconds.labels(path).observe(time.perf_counter() - began)
        return response


ASKED = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": PredictRequest.model_json_schema(),
                "example": {"texts": ["I loved every minute"], "explain": 3},
            }
        },
    }
}


def read_page(name: str) -> str:
    """Return a page of this room."""
    return resources.files("serving").joinpath(name).read_text("utf-8")


def create_app(settings: ServeSettings, champion: Champion) -> FastAPI:
    """Return the service as an ASGI application."""
    service = Service(settings, champion)
    app = FastAPI(
        title="A recurrent text classifier",
        description="Texts in, labels and probabilities out.",
        version="1",
        docs_url=None,  # FastAPI's page asks another host for its script
        redoc_url=None,
        lifespan=service.running,
    )
    app.middleware("http")(service.answer)

    @app.exception_handler(HTTPException)
    async def refuse(_request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestError)
    async def decline(_request: Request, refused: RequestError) -> JSONResponse:
        return JSONResponse({"detail": refused.detail}, refused.status, refused.headers)

    @app.post("/predict", openapi_extra=ASKED, summary="Score texts")
    async def predict(request: Request) -> Response:
        asked = read_request(await read_body(request, settings), settings)
        return JSONResponse(await service.predict(asked))

    @app.get("/health", summary="Whether the service serves")
    async def health() -> Response:
        return JSONResponse({"status": "ok", "token": settings.token is not None})

    @app.get("/model", summary="Who serves: its version, labels, test accuracy and limits")
    async def model() -> Response:
        return JSONResponse(service.describe())

    @app.get("/metrics", summary="Counts, as Prometheus reads them")
    async def metrics() -> Response:
        return Response(service.counts.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/report", summary="The report of the run that made the model")
    async def report() -> Response:
        page = champion.now.report
        if page is None or not page.exists():
            raise RequestError(404, "the run that made this model is not in this store")
        return FileResponse(page, media_type="text/html")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(read_page("page.html"))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(read_page("docs.html"))

    return app
