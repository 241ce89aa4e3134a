"""Promote: compare the new version with the champion on the same test texts; the better one serves."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.command_settings import PromoteSettings
from tasks.core.errors import RegistryError
from tasks.core.run_settings import Metric, PromotionSettings
from tasks.registry import contest, versions
from tasks.registry.client import registry
from tasks.registry.loading import described, fetch_bundle, has_files, reader
from tasks.registry.local_registry import own_registry
from tasks.registry.registry_lock import registry_lock
from tasks.registry.versions import CHALLENGER, CHAMPION, CONTENT, NEITHER, REPLACED_BY, Decision
from tasks.reporting.prefect_ui import announce_champion
from tasks.store.artifact import Artifact
from tasks.store.shared_store import open_store
from tasks.store.step import flow_run_id, run_logger, task
from tasks.store.step_log import log_step

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MAX_CONTESTS = 5  # of one version, if there is a new champion after each


def judge_version(
    client: "MlflowClient",
    uri: str | None,
    version: Any,
    champion: Any,
    downloaded: Path,
    settings: PromotionSettings,
    metric: Metric | None,
    is_lost: bool,
) -> contest.Contest | Decision:
    """Return the contest of a version with the champion, or the decision if there is nothing to contest.

    `champion` is None if there is none; `is_lost`: its files are gone. `metric` is by default the accuracy.
    """
    against = int(champion.version) if champion and not is_lost else None
    try:
        challenger = contest.read_contender(client, version)
        if refused := contest.reason_to_refuse(challenger, metric, settings):
            return Decision(decision=NEITHER, reason=refused, against=against)
        if against is None:
            reason = f"Version {version.version} is the first champion: there was none."
            if is_lost:
                cause = f"the files of the one before it, version {champion.version}, are gone"
                reason = f"Version {version.version} is the champion: {cause}."
            return Decision(decision=CHAMPION, reason=reason, against=None)
        return contest.hold_contest(client, uri, challenger, champion, downloaded, metric)
    except contest.NotComparable as cause:
        with_champion = f" with the champion, version {against}" if against else ""
        reason = f"Version {version.version} is not compared{with_champion}: {cause}; promote it by hand to serve it."
        return Decision(decision=CHALLENGER if against else NEITHER, reason=reason, against=against)


def attempt_of(client: versions.Models, model: str, held: contest.Contest) -> int:
    """Return which challenger of its champion a version is; under `registry_lock` no two have the same number."""
    found = client.search_model_versions(f"name = '{model}'")
    decisions = {int(its.version): decision for its in found if (decision := versions.decision_on(its))}
    own, earlier = decisions.pop(held.challenger, None), 0
    if own and own.against == held.champion and own.attempt is not None:
        # With other settings it is still the same attempt, because its verdicts are the same; not by another metric.
        if own.metric == held.compared["metric"]:
            return own.attempt
        earlier = own.attempt
    return 1 + max(earlier, contest.count_attempts(list(decisions.values()), held.champion, held.reviews))


def find_standing(version: Any, champion: Any, asked: dict[str, Any]) -> Decision | None:
    """Return the decision on a version that still holds, or None if it is to be decided on.

    `champion` is the current one, or None; `asked` are the settings of the promotion.
    """
    standing, number = versions.decision_on(version), int(version.version)
    against = int(champion.version) if champion else None
    if against == number:
        if standing and standing.decision == CHAMPION:
            return standing
        return Decision(decision=CHAMPION, reason=f"Version {number} is the champion.", against=None)
    if champion and REPLACED_BY in version.tags:
        reason = (
            f"Version {number} was the champion until version {version.tags[REPLACED_BY]} replaced it. A run does not "
            "promote it again; a person may: python flows/promote_flow.py "
            f"--registered-model {version.name} --version {number}"
        )
        return Decision(decision=NEITHER, reason=reason, against=against)
    is_same = standing is not None and standing.against == against and standing.asked == asked
    return standing if standing and is_same and standing.decision != CHAMPION else None


def read_versions(client: versions.Models, tracked: dict[str, Any]) -> tuple[Any, Any, bool]:
    """Return the tracked version, the champion of its model or None, and whether the files of that one are gone."""
    version = client.get_model_version(tracked["model"], str(tracked["version"]))
    champion = versions.version_under(client, tracked["model"], CHAMPION)
    content = champion and champion.tags.get(CONTENT)  # without a hash, someone else has registered it
    return version, champion, bool(content) and not has_files(champion.source, content, tracked["uri"])


def promote_version(
    tracked: dict[str, Any], downloaded: Path, settings: PromotionSettings, metric: Metric | None = None
) -> tuple[Decision, bool]:
    """Decide on the version that was tracked, unless that is done, and record the decision in the registry.

    A contest takes minutes, in which another run may make a champion: the version is then compared with that one.
    Return the decision with "model" and "version", as metrics.json has it, and whether it is new; raise RegistryError
    if there was another champion after each contest.
    """
    model, uri = tracked["model"], tracked["uri"]
    place, asked = {"model": model, "version": tracked["version"]}, settings.model_dump()
    asked |= {"metric": metric} if metric else {}
    if uri is None:
        with own_registry() as own:  # without MLflow, whose import takes longer than the rest of a cached run
            version, champion, is_lost = read_versions(own, tracked)
        if standing := find_standing(version, None if is_lost else champion, asked):
            return standing.model_copy(update=place), False
    with registry(uri) as client:
        for _ in range(MAX_CONTESTS):
            version, champion, is_lost = read_versions(client, tracked)
            if standing := find_standing(version, None if is_lost else champion, asked):
                return standing.model_copy(update=place), False
            judged = judge_version(client, uri, version, champion, downloaded, settings, metric, is_lost)
            with registry_lock(client, uri, model):
                current = versions.version_under(client, model, CHAMPION)
                if (champion and champion.version) != (current and current.version):
                    continue  # it was judged against another champion: judge again
                if isinstance(judged, contest.Contest):
                    judged = contest.decide(judged, attempt_of(client, model, judged), settings)
                decision = judged.model_copy(update={"asked": asked, "by": "run"})
                return versions.record_decision(client, version, decision).model_copy(update=place), True
    raise RegistryError(f"{model}: there was a new champion after each of {MAX_CONTESTS} contests; run the same again")


def list_champions(settings: PromoteSettings, uri: str | None) -> dict[str, Any]:
    """Return the "model" and its "champions" so far."""
    with reader(uri) as client:
        model = versions.model_or_default(client, settings.registered_model)
        return {"model": model, "champions": versions.past_champions(client, model)}


@task("promote")
def promote(
    *, tracking: dict[str, Any], downloaded: Artifact, settings: PromotionSettings, metric: Metric | None = None
) -> dict[str, Any]:
    """Decide whether the registered version becomes the champion; an earlier decision that holds is kept.

    Returns:
        The decision and the "champions" so far, as metrics.json has them.
    """
    with log_step(flow_run_id(), "promote") as step:
        decision, is_new = promote_version(tracking, open_store().path(downloaded), settings, metric)
        record = decision.to_json()
        if is_new and decision.decision == CHAMPION:
            announce_champion(record)
        step["cached"] = not is_new
    run_logger().info("%s: %s", decision.decision, decision.reason)
    with reader(tracking["uri"]) as client:
        return record | {"champions": versions.past_champions(client, tracking["model"])}


@task("promote by hand")
def make_champion(settings: PromoteSettings, uri: str | None) -> dict[str, Any]:
    """Make a version, or the champion before this one, the champion because a person asks for it.

    Raise ModelError if several models could be meant, RegistryError if there is no such version or it cannot be loaded.
    """
    with registry(uri) as client:
        model = versions.model_or_default(client, settings.registered_model)
        number = settings.version or versions.champion_before(client, model)
        with tempfile.TemporaryDirectory() as scratch:
            fetch_bundle(described(versions.version_or_champion(client, model, number)), uri, Path(scratch))
        with registry_lock(client, uri, model):
            version = versions.version_or_champion(client, model, number)
            before = versions.version_under(client, model, CHAMPION)
            against = int(before.version) if before is not None and before.version != version.version else None
            reason = settings.reason or f"{'rolled back' if settings.back else 'promoted'} by hand"
            decision = Decision(decision=CHAMPION, reason=reason, against=against, by="hand")
            record = versions.record_decision(client, version, decision).to_json() | {"model": model, "version": number}
    announce_champion(record)
    return record
