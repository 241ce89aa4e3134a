"""The pipeline: from movie reviews to a trained and judged recurrent classifier, in reading order."""

from tasks.reporting.command_line import run_flow

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow, get_run_logger

from tasks.baseline import baseline
from tasks.build import build
from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.environment import result_folder
from tasks.core.errors import RegistryUnreachable, SourceUnreachable
from tasks.core.settings import RunSettings
from tasks.download import check_dataset, download, pin
from tasks.encode import encode
from tasks.evaluate import evaluate
from tasks.figures import figures
from tasks.package import package
from tasks.pad import pad
from tasks.phrases import phrases
from tasks.promote import promote
from tasks.registry.client import tracking_uri
from tasks.reporting.failure import leave_report
from tasks.reporting.progress import tag_flow_run
from tasks.reporting.screen import show_run
from tasks.run_folder import run_folder
from tasks.score import score
from tasks.slice_tests import slice_tests
from tasks.store.artifact import Artifact
from tasks.store.caching import is_kept
from tasks.track import track
from tasks.train import train


@flow(
    name="imdb-pipeline",
    result_storage=result_folder(),
    result_serializer="json",
    on_failure=[leave_report],
)
def imdb_flow(settings: RunSettings = RunSettings()) -> Path:
    """Train and judge a recurrent classifier of movie reviews.

    Every step is kept under a key of what it depends on, and is done again only when that has changed.

    Args:
        settings: what to run; the defaults are the case study's, one part after another.

    Returns:
        The run folder, with config.json, metrics.json, report.html and figures/.
    """
    uri = tracking_uri() if settings.tracking.enabled else None  # what is wrong with it is better known before training
    run = settings
    made = train_and_judge(run, download_reviews(run.data))
    drawn = figures(
        made.downloaded, made.trained, made.evaluated, made.compared, made.judged, made.encoded, run.evaluation
    )
    packaged = package(made.downloaded, made.encoded, made.padded, made.trained, made.evaluated, run.evaluation)
    everything = [artifact for artifact in (*made, drawn, packaged) if artifact]
    return run_folder(run, everything, *log_and_decide(run, everything, uri))


class Judged(NamedTuple):
    """What the steps up to the judgement made; what a run did not ask for is null."""

    downloaded: Artifact
    encoded: Artifact
    padded: Artifact
    compared: Artifact
    built: Artifact
    trained: Artifact
    evaluated: Artifact
    judged: Artifact
    divided: Artifact | None
    learned: Artifact | None


def train_and_judge(settings: RunSettings, downloaded: Artifact) -> Judged:
    """Take downloaded reviews to a trained and judged network, as a run does and each member of a comparison."""
    divided = slice_tests(downloaded, settings.data, settings.evaluation) if settings.evaluation.slice_column else None
    prepared = prepare(settings, downloaded)
    encoded, padded, learned = prepared
    # Before TensorFlow takes its half gigabyte: the two at once would double what the machine must have.
    compared = baseline(encoded, padded, settings.baseline)
    built, trained = fit(settings, prepared)
    evaluated = score(trained, padded, settings.evaluation)
    judged = evaluate(downloaded, padded, evaluated, compared, divided, settings.evaluation)
    return Judged(downloaded, encoded, padded, compared, built, trained, evaluated, judged, divided, learned)


class Prepared(NamedTuple):
    """What a network is trained on; `learned` only where it reads phrases or word vectors."""

    encoded: Artifact
    padded: Artifact
    learned: Artifact | None


def prepare(settings: RunSettings, downloaded: Artifact) -> Prepared:
    """Take downloaded reviews to what a network is trained on."""
    encoded = encode(downloaded, settings.data)
    padded = pad(encoded, settings.data)
    reads = settings.model.phrases or settings.model.word_vectors
    learned = phrases(encoded, padded, settings.phrases, settings.model.word_vectors) if reads else None
    return Prepared(encoded, padded, learned)


def fit(settings: RunSettings, prepared: Prepared) -> tuple[Artifact, Artifact]:
    """Build a network and train it, and return both; no test review is looked at."""
    _encoded, padded, learned = prepared
    built = build(padded, settings.model, learned)
    return built, train(built, padded, settings.training, learned if settings.model.phrases else None)


def download_reviews(data: DataSettings) -> Artifact:
    """Download the dataset, or the sample set where the Keras host cannot be reached and the settings allow it."""
    data, sample = pin(data, get_run_logger().warning), SourceSettings(dataset="rotten-tomatoes")
    # Who names a source wants that one, and no other set in its place.
    may_stand_in = data.dataset == "imdb" and not (data.source or data.word_index) and data.on_unreachable == "sample"
    # With the sample at hand, one try at the host is enough: an offline run starts at once.
    attempt = download.with_options(retries=0) if may_stand_in and is_kept(download, settings=sample) else download
    try:
        downloaded = attempt(data)
    except SourceUnreachable as unreachable:
        if not may_stand_in:
            raise SourceUnreachable(f"{unreachable}\n{WAYS_OUT}") from unreachable
        get_run_logger().warning(SAMPLE_NOTICE, unreachable)
        downloaded = download(sample)
    tag_flow_run(f"dataset:{downloaded.meta['dataset']['name']}")
    return downloaded


def log_and_decide(
    settings: RunSettings, made: list[Artifact], uri: str | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Log the run and decide on its model, or go on without where nobody answers and the run's own folder is enough.

    Returns:
        What metrics.json holds of the tracking, and of the promotion.
    """
    if not settings.tracking.enabled:
        return None, None
    try:
        tracked = track(settings, made, uri)
        return tracked, promote(tracked, made[0], settings.promotion)
    except RegistryUnreachable as unreachable:
        get_run_logger().warning(UNTRACKED_NOTICE, unreachable)
        return None, None


UNTRACKED_NOTICE = """%s.
  The run is complete but for this: it is not logged, and its model is neither registered nor promoted.
  When MLflow is back, run the same again: all other steps come from the cache."""

WAYS_OUT = """Three ways out:
  1. take the files from elsewhere: --data.source PATH_OR_URL/imdb.npz (and --data.sha256 HEX)
  2. train on the sample set instead: --data.dataset rotten-tomatoes
  3. try again when the network is back; behind a proxy, set HTTPS_PROXY"""

SAMPLE_NOTICE = """THIS IS NOT IMDB.
  %s
  The run goes on with the sample set: critics' lines of Rotten Tomatoes, shorter and harder to tell apart.
  For IMDB give --data.source PATH_OR_URL/imdb.npz; to stop instead, --data.on-unreachable fail."""


main = partial(run_flow, imdb_flow, RunSettings, show_run, check_dataset)

if __name__ == "__main__":
    raise SystemExit(main())
