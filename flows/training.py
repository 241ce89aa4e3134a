"""Training: the steps that learn a network from padded texts, for runs and for trials."""

from tasks.build import build
from tasks.core.settings import RunSettings
from tasks.phrases import phrases
from tasks.store.artifact import Artifact
from tasks.train import train


def train_network(
    settings: RunSettings, encoded: Artifact, padded: Artifact
) -> tuple[Artifact | None, Artifact, Artifact]:
    """Learn phrases, if the network reads them or word vectors; build the network; train it."""
    learned, model = None, settings.model
    if model.phrases or model.word_vectors:
        learned = phrases(encoded=encoded, padded=padded, settings=settings.phrases, vectors=model.word_vectors)
    built = build(padded=padded, learned=learned, settings=model)
    numbers, metric = learned if model.phrases else None, settings.evaluation.metric
    trained = train(built=built, padded=padded, learned=numbers, settings=settings.training, metric=metric)
    return learned, built, trained
