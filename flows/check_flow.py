"""Check: what is wrong or odd with texts, in seconds, before anything is trained on them."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import Flags, read_preset, run_command

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from tasks.core.command_settings import CheckSettings
from tasks.core.data_settings import DataSettings
from tasks.core.errors import DataError, print_error
from tasks.core.files import replace_file, written_as_newest
from tasks.core.layout import CHECK_PAGE, CHECKS
from tasks.data_checks.check_texts import check_texts, find_exceeded
from tasks.encode import encode
from tasks.reporting.pages import render
from tasks.reporting.terminal_output import show_check, show_plans
from tasks.store.fingerprint import StepPlan
from tasks.store.shared_store import open_store
from tasks.texts.sources.datasets import check_dataset, fetch_dataset, find_texts
from tasks.texts.tables.table_files import name_of

PRESET = "fast"


def find_refusals(settings: CheckSettings, downloaded: Path, folder: Path) -> list[str]:
    """Return a line on why `encode` would refuse your texts, if it would."""
    data = DataSettings.model_validate(read_preset(PRESET)["data"] | settings.data.model_dump(exclude_unset=True))
    try:
        encode.function(downloaded=downloaded, settings=data, folder=folder)
    except DataError as error:
        return [f"a run with --preset {PRESET} refuses these texts: {error}"]
    return []


def check(settings: CheckSettings, flags: Flags) -> int:
    """Find what is wrong with texts before training: duplicates, texts in two splits, giveaways, damage, shifts.

    Writes check.html, check.json and suspects.csv to checks/ in the store.
    """
    store = open_store()
    if flags.dry_run:
        plan = StepPlan("check", "runs", f"checks {settings.dataset} and writes to {store.root / CHECKS}")
        show_plans([plan], as_json=flags.json_)
        return 0
    warn = partial(print_error, Path(sys.argv[0]).name)
    if settings.data.is_own:
        find_texts(settings.data, warn)
    with written_as_newest(store.root / CHECKS, name_of(Path(settings.dataset))) as (draft, folder):
        with tempfile.TemporaryDirectory(dir=draft) as downloaded, tempfile.TemporaryDirectory(dir=draft) as encoded:
            fetch_dataset(settings.data, Path(downloaded), warn)
            findings = check_texts(Path(downloaded), draft)
            exceeded = find_exceeded(findings, settings)
            # It takes long for many texts, of which the findings are from a part, too.
            if settings.data.is_own and findings["rows"]["checked"] == findings["rows"]["all"]:
                exceeded += find_refusals(settings, Path(downloaded), Path(encoded))
        page = render(
            "check.html.jinja", findings=findings, exceeded=exceeded, settings=settings.model_dump(mode="json")
        )
        replace_file(draft / CHECK_PAGE, page.encode())
    store.share_folder(folder)
    if flags.json_:
        print(json.dumps(findings | {"exceeded": exceeded}))
    else:
        show_check(findings, exceeded, folder)
    return 1 if settings.strict and exceeded else 0


main = partial(run_command, check, CheckSettings, "the check", lambda settings: check_dataset(settings.data))

if __name__ == "__main__":
    raise SystemExit(main())
