"""Compare: recurrent networks side by side, on the same reviews and under the same budget."""

from pathlib import Path

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

from prefect import flow, get_run_logger  # noqa: E402
from prefect.runtime import flow_run  # noqa: E402

from flows.imdb_flow import download_reviews, train_and_judge  # noqa: E402
from flows.search import search  # noqa: E402
from tasks.compare import compare  # noqa: E402
from tasks.core.errors import RegistryUnreachable  # noqa: E402
from tasks.core.flow_settings import CompareSettings  # noqa: E402
from tasks.core.journal import steps_of, unfinished_step  # noqa: E402
from tasks.core.members import Member, MemberRun, Outcome, found_member, members_of  # noqa: E402
from tasks.core.settings import RunSettings  # noqa: E402
from tasks.core.spaces import read_search  # noqa: E402
from tasks.core.store import Artifact  # noqa: E402
from tasks.core.uncaught import describe  # noqa: E402
from tasks.download import check_dataset  # noqa: E402
from tasks.judging.registry import tracking_uri  # noqa: E402
from tasks.judging.study import best_trial  # noqa: E402
from tasks.log_comparison import log_comparison  # noqa: E402
from tasks.showing.command_line import read_preset  # noqa: E402
from tasks.showing.failure import leave_report  # noqa: E402


@flow(
    name="imdb-pipeline-compare",
    result_storage=environment.result_folder(),
    result_serializer="json",
    on_failure=[leave_report],
)
def compare_flow(settings: CompareSettings = CompareSettings()) -> Path:  # noqa: B008 - frozen, and Prefect shows it
    """Train recurrent networks under the same budget and set them side by side; the validation reviews choose.

    Each goes through the steps of a run of its own, and comes from the cache where it did before. One that fails is
    shown as failed, and the others go on.

    Args:
        settings: which networks, and what they share; by default the case study's with each cell, one-way and two-way.

    Returns:
        The folder of the comparison, with comparison.html, comparison.json, config.json and figures/.
    """
    uri = tracking_uri() if settings.tracking.enabled else None  # what is wrong with it is better known before training
    members = find_members(settings)
    downloaded = download_reviews(settings.data)
    trials = search(settings, downloaded) if settings.trials else []
    if best := best_trial(trials):
        members.append(found_member(f"trial {best['number']}", settings, best["point"]))
    outcomes = [train_member(member, downloaded) for member in members]
    folder = compare(settings, downloaded, outcomes, trials)
    if settings.tracking.enabled:
        try:
            log_comparison(folder, settings.tracking, uri)
        except RegistryUnreachable as unreachable:
            get_run_logger().warning("%s; the comparison is complete, but not logged there", unreachable)
    return folder


def find_members(settings: CompareSettings) -> list[Member]:
    """Return the members that the settings, and the files of the presets in them, ask for."""
    return members_of(settings, {name: read_preset(name) for name in settings.presets})


def train_member(member: Member, downloaded: Artifact) -> Outcome:
    """Run a member with each of its seeds, until one fails."""
    done: list[MemberRun] = []
    for run in member.runs:
        try:
            named = member_flow.with_options(flow_run_name=f"{member.name}, seed {run.training.seed}")
            done.append(named(run, downloaded))
        except Exception as error:
            reason = f"{unfinished_step() or 'the run'} with seed {run.training.seed}: {describe(error)}"
            get_run_logger().error("%s failed at %s; the others go on", member.name, reason)
            return Outcome(member, done, reason)
    return Outcome(member, done)


@flow(name="imdb-pipeline-member", persist_result=False)
def member_flow(settings: RunSettings, downloaded: Artifact) -> MemberRun:
    """Take one member of a comparison through the steps of a run, with one seed."""
    made = [artifact for artifact in train_and_judge(settings, downloaded) if artifact]
    return MemberRun({artifact.step: artifact for artifact in made}, steps_of(str(flow_run.id)))


def check(settings: CompareSettings) -> None:
    """Refuse reviews that cannot be read, and members that cannot be had, before anything is started."""
    check_dataset(settings)
    find_members(settings)
    read_search(settings.search)


def main() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.showing.command_line import CompareCommandLine, run_from_command_line
    from tasks.showing.comparisons import show_comparison

    return run_from_command_line(compare_flow, CompareCommandLine, CompareSettings, show_comparison, check)


if __name__ == "__main__":
    raise SystemExit(main())
