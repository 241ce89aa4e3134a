"""Training: a network from settings, for a run, or epoch by epoch for a search that may stop it early."""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.build import build
from tasks.core.command_settings import CompareSettings
from tasks.core.files import digest
from tasks.core.layout import STUDIES
from tasks.core.run_settings import RunSettings
from tasks.encode import encode
from tasks.evaluation.comparison_members import found_member, shared_settings
from tasks.evaluation.optuna_search import OWN_SECTIONS, finished_trials, open_study, read_search, run_trials
from tasks.evaluation.training_history import Training
from tasks.pad import pad
from tasks.phrases import phrases
from tasks.store.artifact import Artifact
from tasks.store.fingerprint import describe_code
from tasks.store.shared_store import open_store
from tasks.store.step import flow, run_logger
from tasks.train import train


def train_network(
    settings: RunSettings, encoded: Artifact, padded: Artifact
) -> tuple[Artifact | None, Artifact, Artifact]:
    """Learn phrases, if the network reads them or word vectors; build the network; train it."""
    learned, model = None, settings.model
    if model.phrases or model.word_vectors:
        learned = phrases(encoded=encoded, settings=settings.phrases, vectors=model.word_vectors)
    built = build(padded=padded, learned=learned, settings=model)
    numbers, metric = learned if model.phrases else None, settings.evaluation.metric
    trained = train(built=built, padded=padded, learned=numbers, settings=settings.training, metric=metric)
    return learned, built, trained


def search(settings: CompareSettings, downloaded: Artifact) -> list[dict[str, Any]]:
    """Run the trials of a comparison, and return them as `finished_trials` does.

    The study is named by a hash of the search, the settings, the texts, code and libraries, so the same search resumes.
    """
    space, shared, metric = read_search(settings.search), shared_settings(settings), settings.evaluation.metric
    key = {section: shared[section] for section in OWN_SECTIONS}
    key |= {"metric": metric, "search": settings.search.split(), "of": downloaded.sha256}
    name, store = digest(key | {"code": describe_code("flows.training")}), open_store()

    def losses_of(trial: str, point: Mapping[str, str]) -> Iterator[list[float]]:
        return train_by_epochs(trial, found_member(trial, settings, point).runs[0], downloaded)

    with store.locked(f"search/{name}"):
        study = open_study(store.root / STUDIES / f"{name}.db", settings.training.seed)
        keep_best, say = settings.training.keep_best, run_logger().info
        run_trials(study, space, settings.trials, losses_of, keep_best=keep_best, metric=metric, say=say)
        return finished_trials(study)


def train_by_epochs(trial: str, settings: RunSettings, downloaded: Artifact) -> Iterator[list[float]]:
    """Yield the costs of the epochs that each training adds, on demand: the validation loss, or that of --metric.

    Each training resumes from the one before. If the step size falls until the last epoch, each epoch depends on how
    many are planned, so all are trained at once.
    """
    whole, seen = settings.training.epochs, 0
    first = 1 if settings.training.learning_rate_decay == "none" else whole
    for epochs in range(first, whole + 1):
        training = settings.training.model_copy(update={"epochs": epochs})
        named = trial_flow.with_options(flow_run_name=f"{trial}, epoch {epochs}")
        losses = named(settings.model_copy(update={"training": training}), downloaded)
        yield losses[seen:]
        seen = len(losses)
        if seen < epochs:
            return  # it stopped early, by its own rule


@flow("imdb-pipeline-trial")
def trial_flow(settings: RunSettings, downloaded: Artifact) -> list[float]:
    """Train one trial, and return the cost after each epoch."""
    history = Training.read(open_store().path(train_trial(settings, downloaded))).history
    return [float(epoch.get("cost", epoch["val_loss"])) for epoch in history]


def train_trial(settings: RunSettings, downloaded: Artifact) -> Artifact:
    """Run the steps of a trial."""
    encoded = encode(downloaded=downloaded, settings=settings.data)
    padded = pad(encoded=encoded, settings=settings.data)
    return train_network(settings, encoded, padded)[-1]
