import json

import pytest

from tasks.build import make_model
from tasks.core.layout import CHECKPOINTS
from tasks.core.run_settings import ModelSettings, TrainingSettings
from tasks.linear.phrase_tables import read_phrases
from tasks.network.checkpoint import Checkpoint
from tasks.network.keras_files import load_model, save_model
from tasks.store.artifact import Resume
from tasks.texts.padded import PaddedFile
from tasks.train import Trainer, train
from tests.support.keras_scorer import keras_scorer
from tests.support.learned import learn_small, write_reviews
from tests.support.small_reviews import WORDS
from tests.support.small_runs import TRACED_SOONEST

READER = {"units": 4, "phrases": True, "word_vectors": True, "vector_tuning": 0.2, "word_dropout": 0.2}
READER |= {"embedding_dropout": 0.2, "dense_units": 0, "readout": "max_mean"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with texts, their learned phrases, and an untrained network that reads phrases."""
    folder = tmp_path_factory.mktemp("reading")
    write_reviews(folder)
    learn_small(folder)
    build(folder, **READER, cell="gru")
    return folder


def build(folder, labels=2, **settings):
    (folder / "built").mkdir(exist_ok=True)
    network = make_model(ModelSettings(**settings), WORDS, labels, learned=folder / "learned")
    save_model(network, folder / "built" / "model.keras")


def settings(**values) -> TrainingSettings:
    return TrainingSettings(epochs=2, batch_size=16, **({"learning_rate": 0.01} | values))


def train_network(inputs, name, folder, **values):
    folder.mkdir()
    rules = {"beta_2": 0.99, "clipnorm": 1.0, "learning_rate_decay": "cosine"} | values
    return train.function(
        built=inputs / "built",
        padded=inputs / "padded",
        learned=inputs / "learned",
        settings=settings(**rules),
        resume=Resume(f"train/{name}", ignored=False),
        folder=folder,
    )


@pytest.mark.slow
def test_a_phrase_network_learns_and_resumes_with_identical_bytes(inputs, store, tmp_path):
    train_network(inputs, "straight", tmp_path / "a")
    rules = settings(beta_2=0.99, clipnorm=1.0, learning_rate_decay="cosine")
    parts = [PaddedFile(inputs / "padded" / f"{split}.parquet") for split in ("train", "validation")]

    def stop_after_first_epoch(line):
        if line.startswith("Epoch"):
            raise KeyboardInterrupt(line)

    trainer = Trainer(*parts, rules, stop_after_first_epoch, phrases=read_phrases(inputs / "learned", WORDS))
    with pytest.raises(KeyboardInterrupt, match="Epoch 1/2"):
        trainer.fit(inputs / "built" / "model.keras", Checkpoint(store / CHECKPOINTS / "train" / "cut"))
    train_network(inputs, "cut", tmp_path / "b")
    assert (tmp_path / "a" / "model.keras").read_bytes() == (tmp_path / "b" / "model.keras").read_bytes()
    model, part = load_model(tmp_path / "a" / "model.keras"), PaddedFile(inputs / "padded" / "validation.parquet")[0]
    right = (keras_scorer(model, 16, bucketing=True)(part) >= 0.5) == part.labels
    history = json.loads((tmp_path / "a" / "training.json").read_text())["history"]
    assert right.mean() == pytest.approx(history[-1]["val_accuracy"])
    assert right.mean() > 0.9


@pytest.mark.slow
def test_a_phrase_network_scores_three_labels_as_in_training(store, tmp_path):
    write_reviews(tmp_path, labels=3)
    learn_small(tmp_path)
    assert read_phrases(tmp_path / "learned", WORDS).width == 18
    its = {"units": 4, "embedding_dim": 4, "dense_units": 0, "phrases": True, "readout": "max_mean"}
    build(tmp_path, 3, **its, **TRACED_SOONEST)
    train_network(tmp_path, "checkpoint", tmp_path / "trained", learning_rate=0.02)
    part = PaddedFile(tmp_path / "padded" / "validation.parquet")[0]
    probabilities = keras_scorer(load_model(tmp_path / "trained" / "model.keras"), 16, bucketing=True)(part)
    assert probabilities.shape == (80, 3)
    history = json.loads((tmp_path / "trained" / "training.json").read_text())["history"]
    right = probabilities.argmax(axis=1) == part.labels
    assert right.mean() == pytest.approx(history[-1]["val_accuracy"])
    assert right.mean() > 0.9
