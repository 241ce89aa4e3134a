import dataclasses
import json
import shutil

import numpy as np
import pytest

from tasks.build import make_model
from tasks.core.errors import TrainingError
from tasks.core.run_settings import ModelSettings, TrainingSettings
from tasks.network.batches import bucketed_dataset
from tasks.network.checkpoint import Checkpoint
from tasks.network.keras_files import load_model, save_model
from tasks.store.artifact import Artifact, Resume
from tasks.texts.padded import write_padded
from tasks.train import (
    EPOCH_STEPS,
    Trainer,
    balanced_weights,
    compile_model,
    goes_beyond,
    is_done,
    measure_validation,
    plan_epoch,
    settings_of_epochs,
    train,
    with_enough_epochs,
)
from tests.support.small_reviews import WORDS, make_padded, padded_schema, write_parts
from tests.support.small_runs import TRACED_SOONEST, epochs, small


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The network that is fastest to trace; the tests of the flow train that of the case study."""
    path = tmp_path_factory.mktemp("built") / "model.keras"
    settings = ModelSettings(
        **TRACED_SOONEST, units=8, embedding_dim=8, dense_units=8, dropout=0.1,
        embedding_dropout=0.1,
    )  # fmt: skip
    save_model(make_model(settings, WORDS), path)
    return path


@pytest.fixture(scope="module")
def uninterrupted(built, tmp_path_factory):
    """Three epochs without interruption: the network, its epochs, its checkpoint, and a copy made after epoch 1."""
    folder = tmp_path_factory.mktemp("straight")
    padded, copied = make_padded(120, maxlen=64, seed=1), CheckpointCopy(folder / "whole", folder / "cut", after=1)
    return *run(built, padded, copied.source, copied, epochs=3), copied.source, copied.folder


@pytest.fixture(scope="module")
def first_epoch(uninterrupted):
    """The network after the first of these epochs, and the folder of its checkpoint."""
    folder = uninterrupted[3]
    return load_model(folder / Checkpoint(folder).read(warn=pytest.fail).last), folder


class CheckpointCopy(list):
    """The lines that training logs; copies the checkpoint after an epoch, as an interruption would leave it."""

    def __init__(self, source, folder, after: int) -> None:
        super().__init__()
        self.source, self.folder, self.after = source, folder, after

    def append(self, line: str) -> None:
        super().append(line)
        if line.startswith(f"Epoch {self.after}/"):
            shutil.copytree(self.source, self.folder)


def settings(**values) -> TrainingSettings:
    return TrainingSettings(**({"epochs": 2, "batch_size": 16, "learning_rate": 0.01} | values))


def run(built, padded, folder, lines=None, **values):
    say = [].append if lines is None else lines.append
    texts = write_parts(folder.parent / f"{folder.name}.parquet", padded)
    return Trainer(texts, texts, settings(**values), say).fit(built, Checkpoint(folder))


def weights_equal(one, other) -> bool:
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_network_learns_and_each_epoch_is_logged(built, padded, tmp_path):
    lines = []
    _, history = run(built, padded, tmp_path, lines, epochs=8, learning_rate=0.02)
    assert history[-1].val_loss < history[0].val_loss
    assert history[-1].model_dump()["val_accuracy"] > 0.8
    assert len(lines) == 9
    assert lines[0].startswith("Training on ")
    assert lines[1].startswith("Epoch 1/8: loss ")
    assert "s left" in lines[1]


@pytest.mark.slow
def test_equal_seeds_give_equal_weights_and_another_seed_does_not(built, padded, first_epoch, tmp_path):
    """Without bucketing; test_trained_models_have_identical_bytes_and_no_optimizer trains with it."""
    first, again = (run(built, padded, tmp_path / name, epochs=1, bucketing=False)[0] for name in "ab")
    assert weights_equal(first, again)
    other, _ = run(built, padded, tmp_path / "c", epochs=1, seed=5)
    assert not weights_equal(first_epoch[0], other)


def test_extending_finished_training_equals_uninterrupted_training(built, padded, first_epoch, uninterrupted, tmp_path):
    model, history, *_folders = uninterrupted
    folder = shutil.copytree(first_epoch[1], tmp_path / "cut")
    ended = Checkpoint(folder)
    ended.read(warn=pytest.fail)
    ended.finish()  # a training of one epoch that has finished can be extended, too
    lines = []
    resumed, resumed_history = run(built, padded, folder, lines, epochs=3)
    assert lines[0].startswith("Going on after epoch 1")
    assert weights_equal(model, resumed)
    without_seconds = [[epoch.model_dump(exclude={"seconds"}) for epoch in its] for its in (history, resumed_history)]
    assert without_seconds[0] == without_seconds[1]


def test_clipnorm_and_beta_2_reach_the_optimizer(built):
    model = load_model(built)
    compile_model(model, settings(clipnorm=0.5, beta_2=0.9), 10)
    assert (model.optimizer.clipnorm, model.optimizer.beta_2) == (0.5, 0.9)


@pytest.mark.slow
def test_a_cosine_learning_rate_ends_at_zero_and_survives_resuming(built, padded, tmp_path):
    falling = {"epochs": 2, "learning_rate_decay": "cosine"}
    copied = CheckpointCopy(tmp_path / "straight", tmp_path / "cut", after=1)
    uninterrupted, _ = run(built, padded, copied.source, copied, **falling)
    assert float(uninterrupted.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
    lines = []
    resumed, _ = run(built, padded, copied.folder, lines, **falling)
    assert lines[0].startswith("Going on after epoch 1")
    assert weights_equal(uninterrupted, resumed)


def test_saved_epochs_beyond_the_end_of_training_are_ignored(built, padded, first_epoch, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[2], tmp_path / "longer")
    shorter, history = run(built, padded, tmp_path / "longer", epochs=1)
    assert len(history) == 1
    assert weights_equal(first_epoch[0], shorter)
    patient = settings(epochs=9, early_stopping_patience=1)
    assert goes_beyond(epochs(0.5, 0.6, 0.4), patient)
    assert not goes_beyond(epochs(0.5, 0.4, 0.6), patient)
    assert not goes_beyond([], patient)


def test_only_settings_that_change_an_epoch_change_the_checkpoint_key():
    built, padded = (Artifact(key=f"{step}/k", files={}) for step in ("build", "pad"))

    def key(**values) -> str:
        shared = settings_of_epochs(settings(**values))
        return train.key({"built": built, "padded": padded, "learned": None, "settings": shared, "of": "resume"})

    five = key(epochs=5)
    assert key(epochs=6) == key(epochs=6, keep_best=True) == key(early_stopping_patience=3) == five
    assert len({five, key(seed=5), key(batch_size=8), key(learning_rate=0.1), key(min_steps=9)}) == 5
    assert key(min_steps=100) == key(min_steps=200), "each epoch reads few texts the same number of times"
    # A cosine learning rate depends on the number of epochs.
    falling = [key(epochs=epochs, learning_rate_decay="cosine") for epochs in (5, 6)]
    assert len({five, *falling}) == 3
    # Its lock is acquired while that of the artifact is held: they must differ.
    plain = settings(epochs=1)
    whole = train.key({"built": built, "padded": padded, "learned": None, "settings": plain})
    assert key(epochs=1) != whole


def test_min_steps_adds_epochs_and_passes_for_few_texts(padded, tmp_path):
    texts = write_parts(tmp_path / "texts.parquet", padded)
    few, many = settings(epochs=2, min_steps=0), settings(epochs=2, min_steps=100)
    assert with_enough_epochs(few, plan_epoch(texts, few)[1]).epochs == 2
    _passes, steps = plan_epoch(texts, many)
    many = with_enough_epochs(many, steps)
    assert (many.epochs - 1) * steps < 100 <= many.epochs * steps
    assert plan_epoch(texts, settings(min_steps=0))[1] < EPOCH_STEPS
    assert EPOCH_STEPS / 2 < steps <= EPOCH_STEPS, "an epoch of few texts has about EPOCH_STEPS batches"


def test_early_stopping_respects_its_patience():
    assert not is_done(epochs(0.5, 0.3, 0.4), settings(epochs=9, early_stopping_patience=2))
    assert is_done(epochs(0.5, 0.3, 0.4, 0.4), settings(epochs=9, early_stopping_patience=2))
    assert not is_done(epochs(0.5, 0.6, 0.7), settings(epochs=9))
    assert is_done(epochs(0.5, 0.4), settings(epochs=2))


class RememberingCheckpoint(Checkpoint):
    """A checkpoint that remembers the network's weights after each epoch."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.weights = []

    def write(self, model, epoch):
        self.weights.append(model.get_weights())
        return super().write(model, epoch)


def has_weights_of_epoch(number: int, model, checkpoint: RememberingCheckpoint) -> bool:
    return all((a == b).all() for a, b in zip(model.get_weights(), checkpoint.weights[number], strict=True))


def test_keep_best_returns_the_epoch_with_the_lowest_validation_loss(built, padded, tmp_path):
    contrary = dataclasses.replace(padded, labels=1 - padded.labels)  # validation gets worse while training gets better
    options, checkpoint = settings(epochs=4, learning_rate=0.05, keep_best=True), RememberingCheckpoint(tmp_path / "c")
    texts, held_out = (write_parts(tmp_path / f"{its.labels[0]}.parquet", its) for its in (padded, contrary))
    best, history = Trainer(texts, held_out, options, [].append).fit(built, checkpoint)
    losses = [epoch.val_loss for epoch in history]
    assert losses.index(min(losses)) < 3
    assert [has_weights_of_epoch(number, best, checkpoint) for number in range(4)] == [
        loss == min(losses) for loss in losses
    ]


@pytest.mark.slow
def test_keep_best_uses_the_metric_of_the_settings(built, padded, tmp_path):
    options, checkpoint = settings(epochs=4, learning_rate=0.05, keep_best=True), RememberingCheckpoint(tmp_path / "c")
    texts = write_parts(tmp_path / "texts.parquet", padded)
    best, history = Trainer(texts, texts, options, [].append, metric="roc_auc").fit(built, checkpoint)
    values = [epoch.model_dump()["val_roc_auc"] for epoch in history]
    assert [epoch.cost for epoch in history] == [-value for value in values]
    assert has_weights_of_epoch(values.index(max(values)), best, checkpoint)
    held_out = bucketed_dataset(texts, 256, bucketing=True)
    kept = history[values.index(max(values))].model_dump()
    assert measure_validation(best, held_out, "accuracy") == pytest.approx(kept["val_accuracy"])


def test_a_nan_loss_stops_training_and_leaves_the_checkpoint_unchanged(padded, built, first_epoch, tmp_path):
    shutil.copytree(first_epoch[1], tmp_path, dirs_exist_ok=True)
    state = Checkpoint(tmp_path).read(warn=pytest.fail)
    model = load_model(tmp_path / state.last)
    model.optimizer.learning_rate = float("nan")
    Checkpoint(tmp_path).write(model, *state.history)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    with pytest.raises(TrainingError, match=r"epoch 2: the loss is nan; the last sound epoch is kept.*learning-rate"):
        run(built, padded, tmp_path, epochs=3)
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


def test_trained_models_have_identical_bytes_and_no_optimizer(built, padded, store, tmp_path):
    parts = [(padded.tokens, padded.lengths, padded.labels)]
    for split in ("train", "validation"):
        write_padded(tmp_path / f"{split}.parquet", padded_schema(64, WORDS, "pre", "pre"), parts)
    files = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        meta = train.function(
            built=built.parent,
            padded=tmp_path,
            learned=None,
            settings=settings(),
            resume=Resume(f"train/{number}", ignored=False),
            folder=folder,
        )
        files.append([(folder / name).read_bytes() for name in ("model.keras", "training.json")])
    assert files[0] == files[1]
    assert len(meta["seconds"]) == 2
    training = json.loads(files[0][1])
    assert [epoch["epoch"] for epoch in training["history"]] == [1, 2]
    assert set(training["history"][0]) >= {
        "loss",
        "accuracy",
        "precision",
        "recall",
        "val_loss",
        "val_accuracy",
    }
    assert getattr(load_model(tmp_path / "1" / "model.keras"), "optimizer", None) is None
    assert np.isfinite(training["history"][0]["loss"])


@pytest.mark.slow
def test_a_retry_repeats_only_the_failed_epoch(imdb, trained, run, monkeypatch):
    begun, fit_epoch = [], Trainer.fit_epoch

    def fail_once(trainer, model, epoch):
        begun.append(epoch)
        if begun == [3, 4]:
            raise RuntimeError("the machine hiccups")
        return fit_epoch(trainer, model, epoch)

    monkeypatch.setattr(Trainer, "fit_epoch", fail_once)
    monkeypatch.setattr(train.task, "retry_delay_seconds", 0)
    run(small(imdb, training={"epochs": 4}))
    assert begun == [3, 4, 4]


@pytest.mark.slow
def test_balanced_class_weights_raise_the_recall_of_the_rare_label(built, tmp_path):
    many = make_padded(120, maxlen=64, seed=1)
    kept = np.flatnonzero((many.labels == 0) | (np.arange(len(many.labels)) % 6 == 0))
    few = dataclasses.replace(many, tokens=many.tokens[kept], lengths=many.lengths[kept], labels=many.labels[kept])
    weights, counts = balanced_weights(write_parts(tmp_path / "few.parquet", few)), np.bincount(few.labels)
    assert weights[0] * counts[0] == pytest.approx(weights[1] * counts[1])
    assert weights[0] * counts[0] + weights[1] * counts[1] == pytest.approx(len(few.labels))
    recalls = {
        name: run(built, few, tmp_path / name, class_weight=name)[1][-1].model_dump()["val_recall"]
        for name in ("none", "balanced")
    }
    assert recalls["balanced"] > recalls["none"]


@pytest.mark.slow
def test_a_network_with_three_labels_learns_and_resumes(tmp_path):
    reviews = make_padded(120, maxlen=64, seed=1)
    three = dataclasses.replace(reviews, labels=np.where(reviews.lengths > 45, 2, reviews.labels))
    settings = ModelSettings(**TRACED_SOONEST, units=8, embedding_dim=8, dense_units=8)
    save_model(make_model(settings, WORDS, 3), tmp_path / "three.keras")
    copied = CheckpointCopy(tmp_path / "straight", tmp_path / "cut", after=2)
    uninterrupted, history = run(tmp_path / "three.keras", three, copied.source, copied, epochs=4, learning_rate=0.03)
    assert history[-1].model_dump()["val_accuracy"] > 0.6
    assert "precision" not in history[-1].model_dump()
    lines = []
    resumed, _history = run(tmp_path / "three.keras", three, copied.folder, lines, epochs=4, learning_rate=0.03)
    assert lines[0].startswith("Going on after epoch 2")
    assert weights_equal(uninterrupted, resumed)
