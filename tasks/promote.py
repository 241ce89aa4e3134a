"""Promote: the new model against the champion, on the same test reviews; the better one serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.errors import RegistryError
from tasks.core.flow_settings import PromoteSettings
from tasks.core.settings import PromotionSettings
from tasks.registry.client import registry
from tasks.registry.contenders import NotComparable, hold_contest, read_contender
from tasks.registry.contest import Contest, count_attempts, decide, reason_to_refuse
from tasks.registry.local_database import own_database
from tasks.registry.mlflow_lock import registry_lock
from tasks.registry.remembered import recall, remember, state_of
from tasks.registry.versions import (
    CHALLENGER,
    CHAMPION,
    NEITHER,
    REPLACED_BY,
    deciding,
    model_or_default,
    numbered_version,
    record_decision,
    record_of,
    version_under,
)
from tasks.reporting.progress import announce_champion
from tasks.store.artifact import Artifact
from tasks.store.caching import path_of
from tasks.store.step_log import noting

# MLflow, SciPy and TensorFlow are imported inside the functions that need them: a run that finds itself remembered
# never pays for them.
if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CONTESTS = 5  # with a new champion each, before a version gives up


def judge_version(
    client: "MlflowClient",
    uri: str | None,
    version: "ModelVersion",
    champion: "ModelVersion | None",
    downloaded: Path,
    settings: PromotionSettings,
) -> Contest | dict[str, Any]:
    """Return the contest of a version with the champion, or what becomes of it without one, and why."""
    against = int(champion.version) if champion else None
    try:
        challenger = read_contender(client, version)
        refused = reason_to_refuse(challenger.candidate, settings)
        if refused:
            return {"decision": NEITHER, "reason": refused, "against": against}
        if champion is None:
            reason = f"Version {version.version} is the first champion: there was none."
            return {"decision": CHAMPION, "reason": reason, "against": None}
        return hold_contest(client, uri, challenger, champion, downloaded)
    except NotComparable as reason:
        beside = f" with the champion, version {against}" if against else ""
        sentence = f"Version {version.version} is not compared{beside}: {reason}; promote by hand if it is to serve."
        return {"decision": CHALLENGER if against else NEITHER, "reason": sentence, "against": against}


def attempt_of(client: "MlflowClient", model: str, contest: Contest) -> int:
    """Return which challenger of its champion a version is; call it under the claim, so that no two are the same."""
    records = {int(other.version): record_of(other) for other in client.search_model_versions(f"name = '{model}'")}
    own = records.pop(contest.challenger)
    # Asked again with other settings it is still the same attempt: its verdicts are the same.
    if own.get("against") == contest.champion and "attempt" in own:
        return int(own["attempt"])
    return 1 + count_attempts(list(records.values()), contest.champion, len(contest.challenging))


def find_standing(
    version: "ModelVersion", champion: "ModelVersion | None", settings: PromotionSettings
) -> dict[str, Any] | None:
    """Return the decision on a version that stands, or None where one is to be made."""
    record, number = record_of(version), int(version.version)
    if champion is not None and int(champion.version) == number:
        if record.get("decision") == CHAMPION:
            return record
        return {"decision": CHAMPION, "reason": f"Version {number} is the champion.", "against": None}
    if champion is not None and REPLACED_BY in version.tags:
        reason = (
            f"Version {number} was the champion until version {version.tags[REPLACED_BY]} took its place. A run does "
            f"not put it back; a person may: python flows/promote_flow.py --version {number}"
        )
        return {"decision": NEITHER, "reason": reason, "against": int(champion.version)}
    against = int(champion.version) if champion else None
    is_same = record.get("against") == against and record.get("asked") == settings.model_dump()
    return record if is_same and record.get("decision") in (CHALLENGER, NEITHER) else None


def promote_version(
    tracked: dict[str, Any], downloaded: Path, settings: PromotionSettings
) -> tuple[dict[str, Any], bool]:
    """Decide on the version that was tracked, unless that is done, and record it in the registry.

    A contest takes minutes, in which another store may make a champion: then the version meets that one.

    Returns:
        What metrics.json holds of it (the record, "model" and "version"), and whether the decision is new.

    Raises:
        RegistryError: there was another champion after each contest.
    """
    model, number, uri = tracked["model"], tracked["version"], tracked["uri"]
    with registry(uri) as client, deciding(model):
        for _ in range(CONTESTS):
            version = client.get_model_version(model, str(number))
            champion = version_under(client, model, CHAMPION)
            record = find_standing(version, champion, settings)
            if record is not None:
                return record | {"model": model, "version": number}, False
            judged = judge_version(client, uri, version, champion, downloaded, settings)
            with registry_lock(client, uri, model):
                if is_still(champion, version_under(client, model, CHAMPION)):
                    verdict = (
                        decide(judged, attempt_of(client, model, judged), settings)
                        if isinstance(judged, Contest)
                        else judged
                    )
                    record = record_decision(client, version, **verdict, asked=settings.model_dump(), by="run")
                    return record | {"model": model, "version": number}, True
    raise RegistryError(f"{model}: there was a new champion after each of {CONTESTS} contests; run the same again")


def is_still(before: "ModelVersion | None", now: "ModelVersion | None") -> bool:
    """Tell whether the champion is the same."""
    return (before and before.version) == (now and now.version)


def promote_by_hand(uri: str | None, settings: PromoteSettings) -> dict[str, Any]:
    """Make a version the champion because a person says so, and return the record of it.

    Raises:
        ModelError: it is not said of which model, and there are several.
        RegistryError: there is no such version.
    """
    with registry(uri) as client:
        model = model_or_default(client, settings.registered_model)
        with deciding(model), registry_lock(client, uri, model):
            version = numbered_version(client, model, settings.version)
            before = version_under(client, model, CHAMPION)
            against = int(before.version) if before is not None and before.version != version.version else None
            facts: dict[str, Any] = {"decision": CHAMPION, "reason": settings.reason, "against": against}
            record = record_decision(client, version, **facts, by="hand")
    return record | {"model": model, "version": settings.version}


@task(cache_policy=NO_CACHE, task_run_name="promote")
def promote(tracked: dict[str, Any], downloaded: Artifact, settings: PromotionSettings) -> dict[str, Any]:
    """Decide whether the registered model becomes the champion; what was decided already is found, each time."""
    folder, is_own = path_of(downloaded), tracked["uri"] is None
    with noting(str(flow_run.id), "promote") as step:
        known = recall(tracked["content"]) if is_own else None
        verdict, is_new = (known["promotion"], False) if known else promote_version(tracked, folder, settings)
        if is_new and verdict["decision"] == CHAMPION:
            announce_champion(verdict)
        if is_own and not known:
            # Asked once more, from a state that is known: so nothing that others write meanwhile is missed.
            state = state_of(own_database())
            verdict, has_moved = promote_version(tracked, folder, settings)
            if not has_moved:
                remember(tracked["content"], {"tracking": tracked, "promotion": verdict}, state)
        step["cached"] = not is_new
    get_run_logger().info("%(decision)s: %(reason)s", verdict)
    return verdict


@task(cache_policy=NO_CACHE, task_run_name="promote version {settings.version}")
def make_champion(settings: PromoteSettings, uri: str | None) -> dict[str, Any]:
    """Make a version the champion by hand."""
    verdict = promote_by_hand(uri, settings)
    announce_champion(verdict)
    return verdict
