"""Publish: the run folder, which gathers in one place what a person or a program asks of a run."""

import importlib.metadata
import json
import os
import platform
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.environment import store_root
from tasks.core.journal import Step, steps_of
from tasks.core.settings import RunSettings
from tasks.core.store import Artifact, Store, naming_the_place, written_whole

DRAFT_SECONDS = 3600  # no run folder takes so long to write
VERSIONS = ("imdb-pipeline", "keras", "numpy", "prefect", "pyarrow", "scikit-learn", "tensorflow")


def gather_metrics(made: dict[str, Artifact], steps: list[Step], store: Store) -> dict[str, Any]:
    """Return what metrics.json holds; docs/metrics.md describes it.

    Args:
        made: the artifact of each step, by the step's name.
        steps: the run's journal.
        store: where the artifacts lie.
    """
    training = json.loads(store.path(made["train"], "training.json").read_text())
    judged = json.loads(store.path(made["evaluate"], "metrics.json").read_text())
    seconds = made["train"].meta["seconds"]
    return {
        "dataset": made["download"].meta["dataset"] | made["pad"].meta,
        "test": judged["test"],
        "validation": judged["validation"],
        "baseline": None,
        "model": made["build"].meta | {name: training[name] for name in ("best_epoch", "kept_epoch", "bucketing")},
        "history": [epoch | {"seconds": second} for epoch, second in zip(training["history"], seconds, strict=True)],
        "steps": steps,
        "artifacts": {name: {"key": artifact.key, "sha256": artifact.sha256} for name, artifact in made.items()},
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in VERSIONS},
    }


def render_report(name: str, settings: RunSettings, metrics: dict[str, Any], figures: dict[str, str]) -> str:
    """Return the report as one HTML page that needs nothing beside it.

    Args:
        name: the run's name.
        settings: the run's settings.
        metrics: as `gather_metrics` returns them.
        figures: SVG by file name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("publish.html.jinja").render(
        name=name, settings=settings.model_dump(mode="json"), metrics=metrics, figures=figures
    )


def write_run_folder(
    runs: Path, name: str, settings: RunSettings, metrics: dict[str, Any], figures: list[Path]
) -> Path:
    """Write runs/<UTC time>-<name>/ whole, point runs/latest to it, and return it.

    Drafts that killed runs left are removed; a draft of this very second may be of a run beside this one.
    """
    for left in runs.glob(".*.draft"):
        if time.time() - left.stat().st_mtime > DRAFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    final = runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}"
    with written_whole(final) as draft:
        (draft / "figures").mkdir()
        for figure in figures:
            shutil.copyfile(figure, draft / "figures" / figure.name)
        (draft / "config.json").write_text(settings.model_dump_json(indent=1))
        (draft / "metrics.json").write_text(json.dumps(metrics, indent=1))
        page = render_report(name, settings, metrics, {path.name: path.read_text() for path in figures})
        (draft / "report.html").write_text(page, encoding="utf-8")
    point_to(final, runs / "latest")
    return final


def point_to(folder: Path, link: Path) -> None:
    """Make `link` a symbolic link to its neighbour `folder`, in one step."""
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder.name)
    draft.replace(link)


@task(cache_policy=NO_CACHE, task_run_name="publish")
def publish(settings: RunSettings, made: list[Artifact]) -> Path:
    """Write the run folder from what the run made, and return where it is."""
    store = Store(store_root())
    by_step = {artifact.step: artifact for artifact in made}
    metrics = gather_metrics(by_step, steps_of(str(flow_run.id)), store)
    figures = [store.path(by_step["report"], name) for name in by_step["report"].meta["figures"]]
    runs = store.root / "runs"
    with naming_the_place(runs):
        return write_run_folder(runs, flow_run.name or "run", settings, metrics, figures)
