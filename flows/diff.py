"""Diff: what changed between two runs: settings, texts, code, metrics and predictions."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import exit_status, parse_flags, refuse, settings_in

import sys
from pathlib import Path

from tasks.core.errors import ModelError, PipelineError
from tasks.core.flow_settings import DiffSettings
from tasks.core.paths import check_writable, user_path
from tasks.evaluation.differences import compare_runs
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version
from tasks.reporting.differences import show_differences
from tasks.reporting.screen import accept_any_character
from tasks.store.inventory import read_runs
from tasks.store.run_record import RunRecord, read_record
from tasks.store.shared_store import open_store

ABOUT = """Compare two runs: settings, texts, code, libraries, metrics with a paired test, predictions that flipped.

Each is a run folder, its name, latest, or the number of a registered version."""


def find_record(name: str, registered_model: str | None) -> RunRecord:
    """Return the record of a run, or of the newest run of a registered version; raise ModelError if there is none."""
    store = open_store()
    if not name.isdecimal():
        return read_record(name, store)
    version = find_version(name, registered_model, tracking_uri())
    for folder, metrics in reversed(list(read_runs(store.root))):
        tracking = (metrics or {}).get("tracking") or {}
        if (tracking.get("model"), tracking.get("version")) == (version.registered_model, version.number):
            return read_record(str(folder), store)
    raise ModelError(f"{version.name}: its run folder is no longer in {store.root / 'runs'}; name another run")


def diff(settings: DiffSettings, *, as_json: bool, dry_run: bool) -> int:
    """Show the differences, and write the page except in a dry run."""
    page = user_path(settings.html).absolute() if settings.html else None
    if page:
        check_writable(page)
    first, second = (find_record(name, settings.registered_model) for name in (settings.first, settings.second))
    found = compare_runs(first, second, open_store())
    return show_differences(found, as_json=as_json, page=None if dry_run else page)


def main() -> int:
    """Compare the runs that the command line names; return the exit status."""
    program = Path(sys.argv[0]).name
    accept_any_character()
    try:
        parsed = parse_flags(DiffSettings, sys.argv[1:], program, ABOUT)
    except PipelineError as error:
        return refuse(program, error)
    settings = settings_in(parsed, DiffSettings)
    work = "the comparison"
    return exit_status(program, lambda: diff(settings, as_json=parsed.json_, dry_run=parsed.dry_run), work)


if __name__ == "__main__":
    raise SystemExit(main())
