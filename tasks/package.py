"""Package: write the bundle that scores raw text."""

from pathlib import Path

from prefect import task

from tasks.core.settings import ThresholdSettings
from tasks.evaluation.drift import reference_of
from tasks.network.bundle import BundleFacts, write_bundle
from tasks.network.history import read_training
from tasks.store.artifact import Artifact
from tasks.store.caching import BY_CONTENT, keep, path_of
from tasks.texts.dataset import read_dataset
from tasks.texts.padded import PaddedFile, padded_file


def package_classifier(
    downloaded: Path,
    encoded: Path,
    padded: Path,
    trained: Path,
    evaluated: Path,
    settings: ThresholdSettings,
    folder: Path,
) -> dict[str, str]:
    """Write the bundle; return the name of its dataset."""
    dataset, padding = read_dataset(downloaded), PaddedFile(padded_file(padded, "train")).metadata
    facts = BundleFacts(
        maxlen=int(padding["maxlen"]),
        padding=padding["padding"],
        truncating=padding["truncating"],
        bucketing=read_training(trained).bucketing,
        threshold=settings.threshold,
        labels=dataset.labels,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        reference=reference_of(encoded, padded, evaluated),
    )
    write_bundle(folder, trained, encoded, facts)
    return {"dataset": dataset.name}


@task(cache_policy=BY_CONTENT, result_serializer="json", task_run_name="package")
def package(
    downloaded: Artifact,
    encoded: Artifact,
    padded: Artifact,
    trained: Artifact,
    evaluated: Artifact,
    settings: ThresholdSettings,
) -> Artifact:
    """Put together what turns raw text into a verdict; its content is what a registered version stands for."""
    paths = path_of(downloaded), path_of(encoded), path_of(padded), path_of(trained), path_of(evaluated)
    return keep(lambda folder: package_classifier(*paths, settings, folder))
