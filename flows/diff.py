"""Diff: what changed between two runs: settings, texts, code, metrics and predictions."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import Flags, run_command

import json
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from tasks.core.command_settings import DiffSettings
from tasks.core.errors import ModelError
from tasks.core.files import explain_os_errors, replace_file
from tasks.core.user_paths import check_writable, user_path
from tasks.evaluation.findings import describe_comparison
from tasks.evaluation.run_differences import compare_runs
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version, run_of
from tasks.reporting.pages import render
from tasks.reporting.terminal_output import console_for, print_table
from tasks.store.run_record import RunRecord, read_record
from tasks.store.shared_store import open_store

SHOWN = 10  # flipped texts in the terminal
TEXT = Column("text", ratio=1, no_wrap=True, overflow="ellipsis")


def describe_test(tested: dict[str, Any]) -> str:
    """Return sentences on the paired test of the second run against the first, and on the texts that it is about."""
    paired, both = tested["paired"], f"{tested['texts']:,} test texts are in both runs with the same label"
    if not paired:
        return f"No paired test: {both}."
    others = f", {tested['only']:,} in one only" if tested["only"] else ""
    return f"{describe_comparison(paired, 'second run', 'first run')} {both}{others}."


def show_differences(found: dict[str, Any], *, as_json: bool, page: Path | None) -> None:
    """Print the result of `compare_runs`, and write it as a page if one is named."""
    if page:
        tested = describe_test(found["tested"]) if isinstance(found["tested"], dict) else found["tested"]
        with explain_os_errors(page):
            replace_file(page, render("differences.html.jinja", found=found, tested=tested).encode())
    if as_json:
        print(json.dumps(found))
        return
    console, data, tested = console_for(), found["data"], found["tested"]
    console.print(f"first: {found['first']}\nsecond: {found['second']}")
    console.print("\n".join(cause["text"] for cause in found["causes"]) or "Settings, code and versions are the same.")
    changed = [step for step, same in found["artifacts"].items() if not same]
    console.print(f"Artifacts that differ: {', '.join(changed) or 'none'}")
    counts = [f"{data[kind]:,} {kind}" for kind in data if kind != "examples"] if isinstance(data, dict) else [data]
    console.print(f"Texts: {', '.join(counts)}")
    rows = [(name, f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}") for name, (a, b) in found["metrics"].items()]
    print_table(("", "first", "second", "difference"), rows)
    console.print(f"Predictions: {tested if isinstance(tested, str) else describe_test(tested)}")
    if flips := [] if isinstance(tested, str) else tested["flips"]:
        title = f"{tested['flipped']:,} predictions flipped, worst first"
        table = Table("label", "first", "second", "p(label)", TEXT, title=title, title_justify="left", expand=True)
        for its in flips[:SHOWN]:
            shift = f"{its['given']:.2f} → {its['given_after']:.2f}"
            table.add_row(its["label"], its["verdict"], its["verdict_after"], shift, its["text"] or "")
        console.print(table)
    if page:
        console.print(f"Page: {page}", soft_wrap=True)


def find_record(name: str, registered_model: str | None) -> RunRecord:
    """Return the record of a run, or of the newest run of a registered version; raise ModelError if there is none."""
    store = open_store()
    if not name.isdecimal():
        return read_record(name, store)
    uri = tracking_uri()
    version = find_version(name, registered_model, uri)
    folder = run_of(version, uri)
    if folder is None:
        raise ModelError(f"{version.name}: its run folder is no longer in {store.root / 'runs'}; name another run")
    return read_record(str(folder), store)


def diff(settings: DiffSettings, flags: Flags) -> None:
    """Compare two runs: settings, texts, code, libraries, metrics with a paired test, predictions that flipped.

    Each is a run folder, its name, latest, or the number of a registered version.
    """
    page = user_path(settings.html).absolute() if settings.html else None
    if page:
        check_writable(page)
    first, second = (find_record(name, settings.registered_model) for name in (settings.first, settings.second))
    found = compare_runs(first, second, open_store())
    show_differences(found, as_json=flags.json_, page=None if flags.dry_run else page)


main = partial(run_command, diff, DiffSettings, "the comparison")

if __name__ == "__main__":
    raise SystemExit(main())
