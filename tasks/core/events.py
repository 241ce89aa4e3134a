"""Events: what a run tells Prefect's server, for automations to act on."""

from typing import Any

from prefect.events import emit_event

PROMOTED = "imdb-pipeline.model.promoted"


def announce_champion(verdict: dict[str, Any]) -> None:
    """Tell Prefect's server that a model became the champion.

    Args:
        verdict: model, version, reason and against.
    """
    resource = {
        "prefect.resource.id": f"imdb-pipeline.model.{verdict['model']}",
        "prefect.resource.name": f"{verdict['model']} version {verdict['version']}",
    }
    facts = {name: verdict[name] for name in ("model", "version", "against", "reason")}
    emit_event(PROMOTED, resource, payload=facts)
