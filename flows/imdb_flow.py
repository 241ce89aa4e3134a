"""The pipeline: from texts to a trained, evaluated and registered recurrent classifier, one line per step."""

import flows  # noqa: F401  our `tasks`, whatever is on PYTHONPATH

# isort: split
from tasks.reporting.command_line import run_flow

from functools import partial
from pathlib import Path
from typing import Any

from flows.automl import check_auto, choose_settings, plan_stages
from flows.training import train_network
from tasks.baseline import baseline
from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import RegistryError, SourceUnreachable
from tasks.core.run_settings import Considered, RunSettings
from tasks.download import download, pin
from tasks.encode import encode
from tasks.evaluate import evaluate
from tasks.evaluation.predictions import decision_rule
from tasks.figures import figures
from tasks.label_check import label_check
from tasks.package import package
from tasks.pad import pad
from tasks.promote import promote
from tasks.registry.client import registry, tracking_uri
from tasks.reporting.prefect_ui import as_untracked, tag_flow_run
from tasks.reporting.terminal_output import show_run
from tasks.run_folder import run_folder
from tasks.score import score
from tasks.store.artifact import Artifact, PackagedArtifacts, RunArtifacts
from tasks.store.fingerprint import StepPlan
from tasks.store.step import flow, is_planning, planning, run_logger
from tasks.texts.sources.datasets import check_dataset
from tasks.track import track


@flow("imdb-pipeline")
def imdb_flow(settings: RunSettings = RunSettings()) -> Path:
    """Train and evaluate a recurrent text classifier, register it, and decide whether it serves.

    A step reruns only when its settings, its inputs or its code have changed.

    Args:
        settings: what to run; the defaults are the case study's.

    Returns:
        The run folder, with config.json, metrics.json, report.html and figures/.
    """
    check_auto(settings)
    uri = check_tracking(settings)
    downloaded, auto = download_dataset(settings.data), None
    if settings.auto.minutes:
        settings, auto = choose_settings(settings, settings.auto.minutes, downloaded)
    artifacts = run_steps(settings, downloaded)
    tracking, promotion = track_and_promote(settings, artifacts, uri)
    folder = run_folder(settings=settings, artifacts=artifacts, tracking=tracking, promotion=promotion, auto=auto)
    return as_untracked(folder) if settings.tracking.enabled and promotion is None else folder


def run_steps(settings: RunSettings, downloaded: Artifact) -> PackagedArtifacts:
    """Run the cached steps after the download, to the bundle."""
    made = train_and_evaluate(settings, downloaded, settings.candidates)
    drawn = figures.of(made, data=settings.data, settings=settings.evaluation)
    labels_checked = label_check.of(made, data=settings.data) if settings.checks_labels else None
    packaged = package.of(made, settings=settings.evaluation)
    return PackagedArtifacts(**vars(made), drawn=drawn, labels_checked=labels_checked, packaged=packaged)


def plan_run(settings: RunSettings) -> list[StepPlan]:
    """Return what each cached step would do, or each stage of `--preset auto`."""
    with planning() as plans:
        downloaded = download_dataset(settings.data)
        if not settings.auto.minutes:
            run_steps(settings, downloaded)
            return plans
    return plans + plan_stages(settings)


def check_tracking(settings: RunSettings) -> str | None:
    """Return the registry's address; warn, before anything is trained, if its server cannot be used."""
    uri = tracking_uri() if settings.tracking.enabled else None
    if uri:
        try:
            with registry(uri) as client:
                client.search_experiments(max_results=1)
        except RegistryError as error:
            run_logger().warning("%s. The run goes on, and tries again at its end.", error)
    return uri


def train_and_evaluate(settings: RunSettings, downloaded: Artifact, considered: Considered = "network") -> RunArtifacts:
    """Run the steps from downloaded texts to an evaluated model, for a run and for each member of a comparison."""
    data, evaluation = settings.data, settings.evaluation
    if dataset := downloaded.meta.get("dataset"):  # a dry run may have none
        decision_rule(evaluation, dataset["labels"])  # a cost of an unknown label is an error
    encoded = encode(downloaded=downloaded, settings=data)
    padded = pad(encoded=encoded, settings=data)
    # Before TensorFlow takes its half gigabyte: both at the same time would double the memory that is needed.
    baselined = baseline(encoded=encoded, settings=settings.baseline, out_of_fold=settings.checks_labels)
    learned, built, trained = train_network(settings, encoded, padded)
    scored = score(downloaded=downloaded, padded=padded, trained=trained, settings=evaluation)
    evaluated = evaluate(
        downloaded=downloaded,
        padded=padded,
        scored=scored,
        baselined=baselined,
        settings=evaluation,
        considered=considered,
    )
    return RunArtifacts(downloaded, encoded, padded, learned, baselined, built, trained, scored, evaluated)


def download_dataset(data: DataSettings) -> Artifact:
    """Download the dataset, or the sample if the Keras host cannot be reached and the settings allow it."""
    data, sample = pin(data, run_logger().warning), SourceSettings(dataset="rotten-tomatoes")
    # A named source is wanted, and nothing in its place.
    may_replace = data.dataset == "imdb" and not (data.source or data.word_index) and data.on_unreachable == "sample"
    # If the sample is cached, one attempt at the host is enough: an offline run starts at once.
    attempt = download.with_options(retries=0) if may_replace and download.is_cached(settings=sample) else download
    try:
        downloaded = attempt(settings=data)
    except SourceUnreachable as unreachable:
        if not may_replace:
            raise SourceUnreachable(f"{unreachable}\n{REMEDIES}") from unreachable
        run_logger().warning(SAMPLE_NOTICE, unreachable)
        downloaded = download(settings=sample)
    if not is_planning():
        tag_flow_run(f"dataset:{downloaded.meta['dataset']['name']}")
    return downloaded


def track_and_promote(
    settings: RunSettings, artifacts: PackagedArtifacts, uri: str | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Log the run and decide on its model; if MLflow refuses or does not answer, the run folder is still complete.

    Returns:
        The parts of metrics.json about tracking and promotion.
    """
    if not settings.tracking.enabled:
        return None, None
    tracking = None
    try:
        tracking = track(settings=settings, artifacts=artifacts, uri=uri)
        downloaded, metric = artifacts.downloaded, settings.evaluation.metric
        return tracking, promote(tracking=tracking, downloaded=downloaded, settings=settings.promotion, metric=metric)
    except RegistryError as error:
        run_logger().warning(UNTRACKED_NOTICE, error, " not logged, and" if tracking is None else "")
        return tracking, None


UNTRACKED_NOTICE = """%s.
  The run is complete, but%s its model is not promoted.
  To do so later, run the same again: all other steps come from the cache."""

REMEDIES = """Three ways to continue:
  1. take the files from elsewhere: --data.source PATH_OR_URL/imdb.npz (and --data.sha256 HEX)
  2. train on the sample instead: --data.dataset rotten-tomatoes
  3. try again when the network is back; behind a proxy, set HTTPS_PROXY"""

SAMPLE_NOTICE = """THIS IS NOT IMDB.
  %s
  The run continues with the sample: sentences of Rotten Tomatoes reviews, which are shorter and harder to classify.
  For IMDB give --data.source PATH_OR_URL/imdb.npz; to stop instead, --data.on-unreachable fail."""


def check_train(settings: RunSettings) -> None:
    """Refuse unreadable texts, an invalid address of MLflow, and settings that auto chooses."""
    check_dataset(settings.data)
    if settings.tracking.enabled:
        tracking_uri()
    check_auto(settings)


main = partial(run_flow, imdb_flow, RunSettings, show_run, check_train, plan_run)

if __name__ == "__main__":
    raise SystemExit(main())
