"""Events: what a run tells Prefect's server, for automations to act on."""

from typing import Any

from prefect.events import emit_event

MODEL_PROMOTED = "imdb-pipeline.model.promoted"
REVIEWS_DRIFTED = "imdb-pipeline.reviews.drifted"


def resource_of(model: str) -> str:
    """Return what Prefect's events call a model in the registry; a trigger's `match` names the same."""
    return f"imdb-pipeline.model.{model}"


def announce_champion(verdict: dict[str, Any]) -> None:
    """Tell Prefect's server that a model became the champion.

    Args:
        verdict: model, version, reason and against.
    """
    resource = {
        "prefect.resource.id": resource_of(verdict["model"]),
        "prefect.resource.name": f"{verdict['model']} version {verdict['version']}",
    }
    facts = {name: verdict[name] for name in ("model", "version", "against", "reason")}
    emit_event(MODEL_PROMOTED, resource, payload=facts)


def announce_drift(model: str, file: str, drift: dict[str, float]) -> None:
    """Tell Prefect's server that scored reviews are unlike those that a model was trained on.

    The event is the model's, so that it starts the deployment that retrains this one, and no other.

    Args:
        model: its name in the registry.
        file: what was scored.
        drift: the stability index of each thing that is compared.
    """
    resource = {"prefect.resource.id": resource_of(model), "prefect.resource.name": model}
    emit_event(REVIEWS_DRIFTED, resource, payload={"model": model, "file": file, "drift": drift})
