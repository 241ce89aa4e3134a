"""What the service is asked to serve, to whom, and how much of it at once."""

from pydantic import Field, SecretStr

from tasks.core.base_settings import Settings


class ServeSettings(Settings):
    """Which model to serve, where, and within which limits."""

    host: str = Field("127.0.0.1", min_length=1)
    """the address to listen at; 0.0.0.0 is every address of this machine"""
    port: int = Field(8000, ge=0, le=65_535)
    """the port (0: any free one)"""
    token: SecretStr | None = Field(None, min_length=8)
    """ask for this bearer token, of 8 characters or more; IMDB_TOKEN keeps it out of the list of processes"""
    model: str | None = Field(None, min_length=1)
    """a version's number or a run folder, served until the service ends (none: the champion, and each that follows)"""
    registered_model: str | None = Field(None, min_length=1)
    """the model's name in the registry (none: the one that has a champion)"""
    look_seconds: float = Field(5.0, gt=0, le=3600)
    """look for a new champion this often"""
    max_body: int = Field(1_000_000, ge=1)
    """bytes of a request's body, at most"""
    max_texts: int = Field(256, ge=1)
    """texts of a request, at most"""
    max_characters: int = Field(20_000, ge=1)
    """characters of a text, at most"""
    max_explained: int = Field(10_000, ge=0)
    """characters of all texts of a request that asks for an explanation, at most"""
    max_waiting: int = Field(1_024, ge=1)
    """texts that wait to be scored, at most; a request beyond is told to come again"""
    max_connections: int = Field(512, ge=1)
    """connections at once, at most"""
    patience: float = Field(10.0, gt=0)
    """seconds that a client may take to send a request, headers or body"""
