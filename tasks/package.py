"""Package: write the bundle that scores raw text."""

import json
from pathlib import Path

import numpy as np

from tasks.core.layout import METRICS
from tasks.core.run_settings import ThresholdSettings
from tasks.evaluation.drift import reference_of
from tasks.evaluation.predictions import decision_rule
from tasks.evaluation.training_history import Training
from tasks.linear.naive_bayes import MAXLEN
from tasks.network.bundle import BundleFacts, write_bundle
from tasks.store.step import step
from tasks.texts.dataset_info import Dataset
from tasks.texts.encoded import Encoding, read_split
from tasks.texts.padded import PaddedFile, padded_file
from tasks.texts.vocabulary import list_offsets


def uncut_lengths(encoded: Path) -> np.ndarray:
    """Return the words of each training text that the linear model reads: (n,) integers."""
    texts, _labels = read_split(encoded, "train")
    tokens = np.concatenate([np.diff(list_offsets(part)) for part in texts()])
    lengths: np.ndarray = np.minimum(tokens, MAXLEN) - (Encoding.read(encoded).start_char is not None)
    return lengths


@step()
def package(
    *,
    downloaded: Path,
    encoded: Path,
    padded: Path,
    trained: Path,
    scored: Path,
    evaluated: Path,
    settings: ThresholdSettings,
    folder: Path,
) -> dict[str, str]:
    """Write the bundle of the chosen model; return the name of its dataset."""
    dataset, train = Dataset.read(downloaded), PaddedFile(padded_file(padded, "train"))
    metadata, bucketing = train.metadata, Training.read(trained).bucketing
    maxlen, padding, truncating = int(metadata["maxlen"]), metadata["padding"], metadata["truncating"]
    lengths, metrics = train.words_kept(), json.loads((evaluated / METRICS).read_bytes())
    if metrics["candidates"]["chosen"] == "linear":
        scored, maxlen, padding, truncating, bucketing = evaluated, MAXLEN, "pre", "post", True
        lengths = uncut_lengths(encoded)
    rule = decision_rule(settings, dataset.labels)
    facts = BundleFacts(
        maxlen=maxlen,
        padding=padding,
        truncating=truncating,
        bucketing=bucketing,
        threshold=rule if isinstance(rule, float) else settings.threshold,
        costs=None if isinstance(rule, float) else rule.tolist(),
        labels=dataset.labels,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        reference=reference_of(encoded, evaluated, lengths),
        confidence_threshold=metrics["answers"]["confidence_threshold"] if "answers" in metrics else None,
        counts_start=False,
    )
    write_bundle(folder, encoded, scored, facts)
    return {"dataset": dataset.name}
