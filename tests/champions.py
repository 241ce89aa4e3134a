"""A registry with a champion in it, without the run that would have trained it."""

from pathlib import Path

from tasks.judging.registry import registry
from tasks.judging.versions import CHAMPION, CONTENT
from tasks.network.registered import content_of, write_registered

MODEL = "imdb-classifier"


def register(packaged: Path, place: Path, alias: str | None = CHAMPION, model: str = MODEL) -> int:
    """Register a packaged classifier in the store's own registry, its files at `place`, and return its version.

    Args:
        packaged: the folder of the packaged classifier.
        place: a new folder.
        alias: of the version, if any.
        model: whose version it is.
    """
    write_registered(packaged, place)
    with registry(None) as client:
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        tags = {CONTENT: content_of(place), "dataset": "imdb"}
        made = client.create_model_version(model, place.as_uri(), tags=tags, await_creation_for=0)
        if alias:
            client.set_registered_model_alias(model, alias, made.version)
    return int(made.version)
