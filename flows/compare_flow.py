"""Compare: train networks on the same texts with the same budget, and choose one by validation."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import read_preset, run_flow

from functools import partial
from pathlib import Path

from flows.imdb_flow import check_tracking, download_dataset, train_and_evaluate
from flows.runners import map_over, open_runner
from flows.training import search
from tasks.compare import compare, track_comparison
from tasks.core.command_settings import CompareSettings
from tasks.core.errors import InputError, MemberError, RegistryError, describe
from tasks.core.run_settings import RunSettings
from tasks.evaluation.comparison_members import Member, MemberRun, Outcome, found_member, members_of
from tasks.evaluation.optuna_search import best_trial, read_search
from tasks.registry.client import tracking_uri
from tasks.reporting.prefect_ui import as_untracked
from tasks.reporting.terminal_output import show_comparison
from tasks.store.artifact import Artifact
from tasks.store.fingerprint import StepPlan
from tasks.store.step import flow, flow_run_id, planning, run_logger, task
from tasks.store.step_log import steps_of, unfinished_step
from tasks.texts.sources.datasets import check_dataset


@flow("imdb-pipeline-member")
def member_flow(settings: RunSettings, downloaded: Artifact) -> MemberRun:
    """Run the steps for one member and one seed; raise MemberError, which names the step, if one fails."""
    run = flow_run_id()
    try:
        artifacts = train_and_evaluate(settings, downloaded)
    except Exception as error:
        step = unfinished_step(run) or "the run"
        raise MemberError(f"{step} with seed {settings.training.seed}: {describe(error)}") from error
    return MemberRun(artifacts, steps_of(run))


@task("{member.name}")
def train_member(member: Member, downloaded: Artifact) -> Outcome:
    """Run a member with each of its seeds, until one fails."""
    done: list[MemberRun] = []
    for run in member.runs:
        try:
            named = member_flow.with_options(flow_run_name=f"{member.name}, seed {run.training.seed}")
            done.append(named(run, downloaded))
        except Exception as error:
            run_logger().error("%s failed at %s; the others go on", member.name, describe(error))
            return Outcome(member, done, describe(error))
    return Outcome(member, done)


@flow("imdb-pipeline-compare")
def compare_flow(settings: CompareSettings = CompareSettings()) -> Path:
    """Train recurrent networks with the same budget and compare them; validation texts choose the best.

    Each network goes through the cached steps of a run. If one fails, the others go on.

    Args:
        settings: which networks, and what they share; by default each cell, unidirectional and bidirectional.

    Returns:
        The folder of the comparison, with comparison.html, comparison.json, config.json and figures/.
    """
    uri = check_tracking(settings)
    members = find_members(settings)
    downloaded = download_dataset(settings.data)
    trials = search(settings, downloaded) if settings.trials else []
    if best := best_trial(trials):
        members.append(found_member(f"trial {best['number']}", settings, best["point"]))
    calls = [{"member": member, "downloaded": downloaded} for member in members]
    outcomes = [
        Outcome(member, [], describe(outcome)) if isinstance(outcome, Exception) else outcome
        for member, outcome in zip(members, map_over(train_member, calls, settings), strict=True)
    ]
    folder = compare(settings, downloaded, outcomes, trials)
    if settings.tracking.enabled:
        try:
            track_comparison(folder, settings.tracking, uri)
        except RegistryError as error:
            run_logger().warning("%s; the comparison is complete, but not logged there", error)
            return as_untracked(folder)
    return folder


def find_members(settings: CompareSettings) -> list[Member]:
    """Return the members that the settings name, with the presets read from their files."""
    return members_of(settings, {name: read_preset(name) for name in settings.presets})


def plan_comparison(settings: CompareSettings) -> list[StepPlan]:
    """Return what the cached steps of all members would do, without the trials of a search."""
    with planning() as plans:
        downloaded = download_dataset(settings.data)
        for member in find_members(settings):
            for run in member.runs:
                train_and_evaluate(run, downloaded)
    return plans


def check(settings: CompareSettings) -> None:
    """Refuse unreadable texts, invalid members and missing runners before anything starts."""
    check_dataset(settings.data)
    if settings.tracking.enabled:
        tracking_uri()
    if settings.auto.minutes:
        raise InputError("--preset auto chooses one model, and has nothing to compare; run it with imdb_flow.py")
    if settings.runner != "none":
        open_runner(settings)
    find_members(settings)
    if settings.trials:
        read_search(settings.search)


main = partial(run_flow, compare_flow, CompareSettings, show_comparison, check, plan_comparison)

if __name__ == "__main__":
    raise SystemExit(main())
