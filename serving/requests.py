"""Requests: read and validate request bodies within limits."""

import asyncio
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from serving.settings import ServeSettings
from tasks.core.user_paths import printable

MAX_WORDS = 20
CLOSE = {"Connection": "close"}


class PredictRequest(BaseModel):
    """Texts to score."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: Annotated[list[str], FailFast(), Field(min_length=1, description="the texts; each is scored independently")]
    explain: Annotated[
        int, Field(ge=0, le=MAX_WORDS, description="how many of the most influential words to return for each text")
    ] = 0


async def read_body(request: Request, settings: ServeSettings) -> bytes:
    """Return a request's body; raise HTTPException if it is too large, slow or compressed, or the client has left."""
    too_large = HTTPException(413, f"the body has more than {settings.max_body} bytes", CLOSE)
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
        reason = f"the body did not arrive within {settings.patience:g} seconds"
        raise HTTPException(408, reason, CLOSE) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body is incomplete", CLOSE) from None
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("identity", ""):
        raise HTTPException(415, f"the body is compressed ({coding}); send plain JSON", {"Accept-Encoding": "identity"})
    return bytes(body)


def read_request(body: bytes, settings: ServeSettings) -> PredictRequest:
    """Read and validate a body; raise HTTPException if it is not JSON, does not match the schema or exceeds a limit."""
    try:
        content = from_json(body.decode(json.detect_encoding(body)))  # without a byte order mark
    except ValueError as error:
        raise HTTPException(400, f"Invalid JSON: {error}") from None
    if not isinstance(content, dict):
        raise HTTPException(422, "expected a JSON object with texts")
    known = PredictRequest.model_fields
    # Pydantic would collect an error for each of a million unknown keys.
    if (unknown := next((name for name in content if name not in known), None)) is not None:
        raise HTTPException(422, f"{printable(unknown[:80])}: is unknown; expected {' and '.join(known)}")
    try:
        parsed = PredictRequest.model_validate(content)
    except ValidationError as error:
        # Without the input itself: it may be long, and need not be text.
        mistakes = error.errors(include_url=False, include_input=False)
        raise HTTPException(422, "; ".join(map(describe, mistakes))) from None
    if len(parsed.texts) > settings.max_texts:
        raise HTTPException(413, f"{len(parsed.texts)} texts; at most {settings.max_texts} per request")
    for index, text in enumerate(parsed.texts):
        if len(text) > settings.max_characters:
            raise HTTPException(413, f"texts.{index} has {len(text)} characters; at most {settings.max_characters}")
    characters = sum(map(len, parsed.texts))
    if parsed.explain and characters > settings.max_explained:
        raise HTTPException(413, f"{characters} characters to explain; at most {settings.max_explained} per request")
    return parsed


def describe(mistake: Any) -> str:
    """Return pydantic's message for one mistake, with the field's name in front."""
    field = printable(".".join(map(str, mistake["loc"]))[:80])
    return f"{field}: {mistake['msg']}" if field else str(mistake["msg"])
