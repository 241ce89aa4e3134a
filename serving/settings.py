"""Settings of the service: model, address, token and limits."""

from typing import Any

from pydantic import Field, SecretStr, field_validator

from tasks.core.command_settings import ModelChoice


class ServeSettings(ModelChoice):
    """The model to serve, the address, and the limits."""

    host: str = Field("127.0.0.1", min_length=1)
    """the address to listen on; 0.0.0.0 is every address of this machine"""
    port: int = Field(8000, ge=0, le=65_535)
    """the port (0: any free one)"""
    token: SecretStr | None = None
    """require this bearer token of 8 characters or more; IMDB_TOKEN keeps it out of the process list"""
    model: str | None = Field(None, min_length=1)
    """a version number or a run folder, served until the service stops (none: the champion and its successors)"""
    look_seconds: float = Field(5.0, gt=0, le=3600)
    """seconds between two checks for a new champion"""
    max_body: int = Field(1_000_000, ge=1)
    """maximum bytes of a request's body"""
    max_texts: int = Field(256, ge=1)
    """maximum number of texts per request"""
    max_characters: int = Field(20_000, ge=1)
    """maximum number of characters per text"""
    max_explained: int = Field(10_000, ge=0)
    """maximum number of characters in a request that asks for an explanation"""
    max_waiting: int = Field(1_024, ge=1)
    """maximum number of waiting texts; further requests get status 503"""
    patience: float = Field(10.0, gt=0)
    """seconds that a client may take to send the head of a request, or its body"""

    @field_validator("token", mode="before")
    @classmethod
    def _token_fits_into_a_header(cls, token: Any) -> Any:
        if not isinstance(token, str):
            return token
        token = token.strip()  # a file or a secret often ends with a newline, which no header can contain
        if len(token) < 8 or not (token.isascii() and token.isprintable()):
            raise ValueError("a token has 8 or more characters, only printable ASCII; choose another one")
        return token
