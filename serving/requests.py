"""Requests: what may be asked, read from a body of any bytes, within limits; and the words in which it is refused."""

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from serving.settings import ServeSettings

MAX_WORDS = 20


class RequestError(Exception):
    """A request that is not done: the status, and what is wrong with it."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        """Refuse with an HTTP status, a reason, and headers (Retry_After for Retry-After)."""
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class PredictRequest(BaseModel):
    """Texts to score."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: Annotated[list[str], Field(min_length=1, description="the texts, each scored by itself")]
    explain: Annotated[
        int, Field(ge=0, le=MAX_WORDS, description="name this many words that moved each score most")
    ] = 0


async def read_body(request: Request, settings: ServeSettings) -> bytes:
    """Return a request's body.

    Raises:
        Refused: it is too large, or takes too long, or its sender went away.
    """
    too_large = RequestError(413, f"the body has more than {settings.max_body} bytes", Connection="close")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > settings.max_body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(settings.patience):
            async for chunk in request.stream():
                body += chunk
                if len(body) > settings.max_body:
                    raise too_large
    except TimeoutError:
        reason = f"the body did not come within {settings.patience:g} seconds"
        raise RequestError(408, reason, Connection="close") from None
    except ClientDisconnect:
        raise RequestError(400, "the body ended too early", Connection="close") from None
    return bytes(body)


def read_request(body: bytes, settings: ServeSettings) -> PredictRequest:
    """Return what a body asks for.

    Raises:
        Refused: it is not JSON, or asks for something else, or for too much.
    """
    try:
        asked = PredictRequest.model_validate_json(body)
    except ValidationError as error:
        # Never the input itself: it may be long, and need not be text.
        wrong = [describe(mistake) for mistake in error.errors(include_url=False, include_input=False)[:5]]
        status = 400 if error.errors(include_input=False)[0]["type"] == "json_invalid" else 422
        raise RequestError(status, "; ".join(wrong)) from None
    if len(asked.texts) > settings.max_texts:
        raise RequestError(413, f"{len(asked.texts)} texts; at most {settings.max_texts} a request")
    for place, text in enumerate(asked.texts):
        if len(text) > settings.max_characters:
            raise RequestError(413, f"texts.{place} has {len(text)} characters; at most {settings.max_characters}")
    characters = sum(map(len, asked.texts))
    if asked.explain and characters > settings.max_explained:
        raise RequestError(413, f"{characters} characters to explain; at most {settings.max_explained} a request")
    return asked


def describe(mistake: Any) -> str:
    """Return a mistake in a body: its place and what is wrong there."""
    place = ".".join(map(str, mistake["loc"]))[:80].encode("utf-8", "replace").decode()
    return f"{place}: {mistake['msg']}" if place else str(mistake["msg"])
