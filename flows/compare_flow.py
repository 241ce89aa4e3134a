"""Compare: recurrent networks side by side, on the same reviews and under the same budget."""

from functools import partial
from pathlib import Path

from tasks.core import environment

environment.prepare()  # Prefect reads where it lives while it is imported

from prefect import flow, get_run_logger  # noqa: E402

from flows.imdb_flow import download_reviews, encode_and_pad  # noqa: E402
from flows.members import train_member  # noqa: E402
from flows.runners import map_over, open_runner, result_or_error  # noqa: E402
from flows.search import search  # noqa: E402
from tasks.compare import compare  # noqa: E402
from tasks.core.artifact import Artifact  # noqa: E402
from tasks.core.errors import RegistryUnreachable, RunnerError  # noqa: E402
from tasks.core.flow_settings import CompareSettings  # noqa: E402
from tasks.core.members import Member, Outcome, found_member, members_of  # noqa: E402
from tasks.core.spaces import read_search  # noqa: E402
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
    if settings.runner != "none":
        prepare_together(members, downloaded, settings)
    trials = search(settings, downloaded) if settings.trials else []
    if best := best_trial(trials):
        members.append(found_member(f"trial {best['number']}", settings, best["point"]))
    outcomes = train_members(members, downloaded, settings)
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


def prepare_together(members: list[Member], downloaded: Artifact, settings: CompareSettings) -> None:
    """Encode and pad what members share, parts side by side; members side by side would all wait for the first one.

    What cannot be had fails again in the members that need it, and is shown there.
    """
    for data in dict.fromkeys(run.data for member in members for run in member.runs):
        found = result_or_error(partial(encode_and_pad, data, downloaded, settings))
        if isinstance(found, RunnerError):
            raise found  # the members need the same one
        if isinstance(found, Exception):
            get_run_logger().warning("Not prepared before the members begin: %s", describe(found))


def train_members(members: list[Member], downloaded: Artifact, settings: CompareSettings) -> list[Outcome]:
    """Take each member through the steps of a run, one after another or side by side."""
    calls = [{"member": member, "downloaded": downloaded} for member in members]
    outcomes = map_over(train_member, calls, settings)
    return [
        Outcome(member, [], describe(outcome)) if isinstance(outcome, Exception) else outcome
        for member, outcome in zip(members, outcomes, strict=True)
    ]


def check(settings: CompareSettings) -> None:
    """Refuse reviews that cannot be read, and members and runners that cannot be had, before anything is started."""
    check_dataset(settings)
    if settings.runner != "none":
        open_runner(settings)
    find_members(settings)
    read_search(settings.search)


def main() -> int:
    """Run the flow that the command line describes, and return the exit status."""
    from tasks.showing.command_line import CompareCommandLine, run_from_command_line
    from tasks.showing.comparisons import show_comparison

    return run_from_command_line(compare_flow, CompareCommandLine, CompareSettings, show_comparison, check)


if __name__ == "__main__":
    raise SystemExit(main())
