"""Package: write the bundle that scores raw text."""

from pathlib import Path

from tasks.core.settings import ThresholdSettings
from tasks.evaluation.drift import reference_of
from tasks.evaluation.history import Training
from tasks.evaluation.metrics import find_confidence_threshold
from tasks.evaluation.scores import read_scores
from tasks.network.bundle import BundleFacts, write_bundle
from tasks.store.step import step
from tasks.texts.dataset import Dataset
from tasks.texts.padded import PaddedFile, padded_file


@step()
def package(
    *,
    downloaded: Path,
    encoded: Path,
    padded: Path,
    trained: Path,
    scored: Path,
    settings: ThresholdSettings,
    folder: Path,
) -> dict[str, str]:
    """Write the bundle; return the name of its dataset."""
    dataset, padding = Dataset.read(downloaded), PaddedFile(padded_file(padded, "train")).metadata
    facts = BundleFacts(
        maxlen=int(padding["maxlen"]),
        padding=padding["padding"],
        truncating=padding["truncating"],
        bucketing=Training.read(trained).bucketing,
        threshold=settings.threshold,
        labels=dataset.labels,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        reference=reference_of(encoded, padded, scored),
        confidence_threshold=find_confidence_threshold(read_scores(scored, "validation"), settings),
        counts_start=False,
    )
    write_bundle(folder, encoded, scored, facts)
    return {"dataset": dataset.name}
