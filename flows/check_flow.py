"""Check: what is wrong or odd with texts, in seconds, before anything is trained on them."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import exit_status, parse_flags, refuse, settings_in

import json
import sys
import tempfile
from pathlib import Path

from tasks.core.data_settings import is_address
from tasks.core.errors import PipelineError, print_error
from tasks.core.files import replace_file, written_as_newest
from tasks.core.flow_settings import CheckSettings
from tasks.core.layout import CHECK_PAGE, CHECKS
from tasks.data_checks.check_texts import check_texts, find_exceeded
from tasks.reporting.pages import render
from tasks.reporting.screen import accept_any_character, show_check
from tasks.store.shared_store import open_store
from tasks.texts.sources.datasets import check_dataset, fetch_dataset
from tasks.texts.sources.layouts import describe_unread
from tasks.texts.sources.remote import copy_dataset, find_copy

ABOUT = """Find what is wrong with texts before training: duplicates, texts in two splits, giveaways, damage, shifts.

Writes check.html, check.json and suspects.csv to checks/ in the store."""


def check(settings: CheckSettings, program: str, *, as_json: bool) -> int:
    """Check a dataset, write its folder in the store and print the findings; the status is 1 if they are too many."""
    store = open_store()

    def warn(message: str) -> None:
        print_error(program, message)

    if is_address(settings.dataset):
        warn(copy_dataset(settings.data, refresh=settings.data.refresh)[1])
    path = find_copy(settings.data) if settings.data.is_own else None
    if path and (unread := describe_unread(path)):
        warn(unread)
    with written_as_newest(store.root / CHECKS, Path(settings.dataset).stem) as (draft, folder):
        with tempfile.TemporaryDirectory(dir=draft) as downloaded:
            fetch_dataset(settings.data, Path(downloaded), warn)
            findings = check_texts(Path(downloaded), draft)
        exceeded = find_exceeded(findings, settings)
        page = render(
            "check.html.jinja", findings=findings, exceeded=exceeded, settings=settings.model_dump(mode="json")
        )
        replace_file(draft / CHECK_PAGE, page.encode())
    store.share_folder(folder)
    if as_json:
        print(json.dumps(findings | {"exceeded": exceeded}))
    else:
        show_check(findings, exceeded, folder)
    return 1 if settings.strict and exceeded else 0


def main() -> int:
    """Check the texts that the command line names; return the exit status."""
    program = Path(sys.argv[0]).name
    accept_any_character()
    try:
        parsed = parse_flags(CheckSettings, sys.argv[1:], program, ABOUT)
        settings = settings_in(parsed, CheckSettings)
        check_dataset(settings.data)
    except PipelineError as error:
        return refuse(program, error)
    if parsed.dry_run:
        print(f"would check {settings.dataset} and write to {open_store().root / CHECKS}")
        return 0
    return exit_status(program, lambda: check(settings, program, as_json=parsed.json_), "the check")


if __name__ == "__main__":
    raise SystemExit(main())
