import dataclasses
import json
import shutil

import numpy as np
import pytest

from tasks.build import make_model
from tasks.core.errors import TrainingError
from tasks.core.layout import CHECKPOINTS
from tasks.core.run_settings import ModelSettings, TrainingSettings
from tasks.network.batches import bucketed_dataset
from tasks.network.checkpoint import Checkpoint
from tasks.network.keras_files import load_model, save_model
from tasks.store.artifact import Artifact, Resume
from tasks.texts.padded import padded_schema, write_padded
from tasks.train import (
    EPOCH_STEPS,
    balanced_weights,
    compile_model,
    finished_epochs,
    fit,
    fit_epoch,
    goes_beyond,
    is_done,
    measure_validation,
    plan_epoch,
    settings_of_epochs,
    train,
    with_enough_epochs,
)
from tests.support.small_reviews import WORDS, make_padded
from tests.support.small_runs import TRACED_SOONEST, epochs, small


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The network that is traced soonest; that of the case study is trained in the tests of the flow."""
    path = tmp_path_factory.mktemp("built") / "model.keras"
    settings = ModelSettings(
        **TRACED_SOONEST, units=8, embedding_dim=8, dense_units=8, dropout=0.1,
        embedding_dropout=0.1,
    )  # fmt: skip
    save_model(make_model(settings, WORDS), path)
    return path


@pytest.fixture(scope="module")
def straight(built, tmp_path_factory):
    """Three epochs without a break: the network, its epochs, the folder of its checkpoint, and one after an epoch."""
    folder = tmp_path_factory.mktemp("straight")
    padded, cut = make_padded(120, maxlen=64, seed=1), Cut(folder / "whole", folder / "cut", after=1)
    return *run(built, padded, cut.whole, cut, epochs=3), cut.whole, cut.folder


@pytest.fixture(scope="module")
def first_epoch(straight):
    """The first of these epochs: the network and the folder of its checkpoint."""
    folder = straight[3]
    return load_model(folder / Checkpoint(folder).read(warn=pytest.fail).last), folder


class Cut(list):
    """The lines of a training; it copies the checkpoint as an interruption after some epoch would leave it."""

    def __init__(self, whole, folder, after: int) -> None:
        super().__init__()
        self.whole, self.folder, self.after = whole, folder, after

    def append(self, line: str) -> None:
        super().append(line)
        if line.startswith(f"Epoch {self.after}/"):
            shutil.copytree(self.whole, self.folder)


def settings(**values) -> TrainingSettings:
    return TrainingSettings(**({"epochs": 2, "batch_size": 16, "learning_rate": 0.01} | values))


def run(built, padded, folder, said=None, **values):
    say = [].append if said is None else said.append
    return fit(built, [padded], [padded], settings(**values), Checkpoint(folder), say)


def weights_equal(one, other) -> bool:
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_network_learns_what_words_mean(built, padded, tmp_path):
    said = []
    _, history = run(built, padded, tmp_path, said, epochs=8, learning_rate=0.02)
    assert history[-1].val_loss < history[0].val_loss
    assert history[-1].model_dump()["val_accuracy"] > 0.8
    assert len(said) == 9
    assert said[0].startswith("Training on ")
    assert said[1].startswith("Epoch 1/8: loss ")
    assert "s left" in said[1]


def test_equal_seeds_end_in_equal_weights_and_another_seed_in_others(built, padded, first_epoch, tmp_path):
    """With batches of texts of any length; test_the_kept_model_has_equal_bytes trains on those of similar length."""
    first, again = (run(built, padded, tmp_path / name, epochs=1, bucketing=False)[0] for name in "ab")
    assert weights_equal(first, again)
    other, _ = run(built, padded, tmp_path / "c", epochs=1, seed=5)
    assert not weights_equal(first_epoch[0], other)


def test_training_that_was_cut_short_or_shorter_ends_as_if_it_was_not(built, padded, first_epoch, straight, tmp_path):
    model, history, *_folders = straight
    folder = shutil.copytree(first_epoch[1], tmp_path / "cut")
    ended = Checkpoint(folder)
    ended.read(warn=pytest.fail)
    ended.finish()  # a run of one epoch that ended is gone on from too
    said = []
    resumed, resumed_history = run(built, padded, folder, said, epochs=3)
    assert said[0].startswith("Going on after epoch 1")
    assert weights_equal(model, resumed)
    without_seconds = [[epoch.model_dump(exclude={"seconds"}) for epoch in its] for its in (history, resumed_history)]
    assert without_seconds[0] == without_seconds[1]


def test_long_gradients_are_scaled_down(built):
    model = load_model(built)
    compile_model(model, settings(clipnorm=0.5, beta_2=0.9), 10)
    assert (model.optimizer.clipnorm, model.optimizer.beta_2) == (0.5, 0.9)


def test_a_falling_step_size_ends_at_nothing_and_survives_a_cut(built, padded, tmp_path):
    falling = {"epochs": 2, "learning_rate_decay": "cosine"}
    cut = Cut(tmp_path / "straight", tmp_path / "cut", after=1)
    straight, _ = run(built, padded, cut.whole, cut, **falling)
    assert float(straight.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
    said = []
    resumed, _ = run(built, padded, cut.folder, said, **falling)
    assert said[0].startswith("Going on after epoch 1")
    assert weights_equal(straight, resumed)


def test_training_goes_on_from_no_epoch_that_it_would_not_have_had(built, padded, first_epoch, straight, tmp_path):
    shutil.copytree(straight[2], tmp_path / "longer")
    shorter, history = run(built, padded, tmp_path / "longer", epochs=1)
    assert len(history) == 1
    assert weights_equal(first_epoch[0], shorter)
    patient = settings(epochs=9, early_stopping_patience=1)
    assert goes_beyond(epochs(0.5, 0.6, 0.4), patient)
    assert not goes_beyond(epochs(0.5, 0.4, 0.6), patient)
    assert not goes_beyond([], patient)


def test_a_dry_run_knows_how_many_epochs_few_texts_need_and_which_epochs_cannot_be_used(store, straight):
    _, history, folder, _ = straight
    shutil.copytree(folder, store / CHECKPOINTS / "train" / "abc")
    batches = Checkpoint(folder).read(warn=pytest.fail).batches
    done = len(history)
    assert finished_epochs("train/abc", settings(epochs=9)) == f"epoch {done} of 9"
    few = settings(epochs=2, min_steps=4 * batches)
    assert finished_epochs("train/abc", few) == f"epoch {done} of 4"
    assert finished_epochs("train/abc", settings(epochs=1)) == ""
    assert finished_epochs("train/other", settings(epochs=9)) == ""


def test_trainings_that_differ_in_when_they_stop_share_their_epochs():
    built, padded = (Artifact(key=f"{step}/k", files={}) for step in ("build", "pad"))

    def key(**values) -> str:
        shared = settings_of_epochs(settings(**values))
        return train.key({"built": built, "padded": padded, "learned": None, "settings": shared, "of": "resume"})

    five = key(epochs=5)
    assert key(epochs=6) == key(epochs=6, keep_best=True) == key(early_stopping_patience=3) == five
    assert len({five, key(seed=5), key(batch_size=8), key(learning_rate=0.1), key(min_steps=9)}) == 5
    assert key(min_steps=100) == key(min_steps=200), "the same passes over few texts in each epoch"
    # A falling step size depends on when it is to end.
    falling = [key(epochs=epochs, learning_rate_decay="cosine") for epochs in (5, 6)]
    assert len({five, *falling}) == 3
    # Its lock is held within that of the artifact: they must not be one.
    plain = settings(epochs=1)
    whole = train.key({"built": built, "padded": padded, "learned": None, "settings": plain})
    assert key(epochs=1) != whole


def test_few_texts_are_read_as_often_as_the_least_number_of_batches_needs(padded):
    few, many = settings(epochs=2, min_steps=0), settings(epochs=2, min_steps=100)
    assert with_enough_epochs(few, plan_epoch([padded], few)[1]).epochs == 2
    _passes, steps = plan_epoch([padded], many)
    many = with_enough_epochs(many, steps)
    assert (many.epochs - 1) * steps < 100 <= many.epochs * steps
    assert plan_epoch([padded], settings(min_steps=0))[1] < EPOCH_STEPS
    assert EPOCH_STEPS / 2 < steps <= EPOCH_STEPS, "an epoch has some batches between its checkpoints"


def test_early_stopping_waits_for_its_patience():
    assert not is_done(epochs(0.5, 0.3, 0.4), settings(epochs=9, early_stopping_patience=2))
    assert is_done(epochs(0.5, 0.3, 0.4, 0.4), settings(epochs=9, early_stopping_patience=2))
    assert not is_done(epochs(0.5, 0.6, 0.7), settings(epochs=9))
    assert is_done(epochs(0.5, 0.4), settings(epochs=2))


class RememberingCheckpoint(Checkpoint):
    """A checkpoint that remembers the network's weights after each epoch."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.weights = []

    def write(self, model, epoch, batches):
        self.weights.append(model.get_weights())
        return super().write(model, epoch, batches)


def keeps_the_epoch(number: int, model, checkpoint: RememberingCheckpoint) -> bool:
    return all((a == b).all() for a, b in zip(model.get_weights(), checkpoint.weights[number], strict=True))


def test_the_best_epoch_is_kept_if_asked_for(built, padded, tmp_path):
    contrary = dataclasses.replace(padded, labels=1 - padded.labels)  # validation gets worse while training gets better
    options, checkpoint = settings(epochs=4, learning_rate=0.05, keep_best=True), RememberingCheckpoint(tmp_path)
    best, history = fit(built, [padded], [contrary], options, checkpoint, [].append)
    losses = [epoch.val_loss for epoch in history]
    assert losses.index(min(losses)) < 3
    assert [keeps_the_epoch(number, best, checkpoint) for number in range(4)] == [
        loss == min(losses) for loss in losses
    ]


def test_the_metric_decides_which_epoch_is_kept(built, padded, tmp_path):
    options, checkpoint = settings(epochs=4, learning_rate=0.05, keep_best=True), RememberingCheckpoint(tmp_path)
    best, history = fit(built, [padded], [padded], options, checkpoint, [].append, metric="roc_auc")
    values = [epoch.model_dump()["val_roc_auc"] for epoch in history]
    assert [epoch.cost for epoch in history] == [-value for value in values]
    assert keeps_the_epoch(values.index(max(values)), best, checkpoint)
    held_out = bucketed_dataset([padded], 256, bucketing=True)
    kept = history[values.index(max(values))].model_dump()
    assert measure_validation(best, held_out, "accuracy") == pytest.approx(kept["val_accuracy"])


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_sound_epoch(padded, built, first_epoch, tmp_path):
    shutil.copytree(first_epoch[1], tmp_path, dirs_exist_ok=True)
    state = Checkpoint(tmp_path).read(warn=pytest.fail)
    model = load_model(tmp_path / state.last)
    model.optimizer.learning_rate = float("nan")
    Checkpoint(tmp_path).write(model, *state.history, state.batches)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    with pytest.raises(TrainingError, match=r"epoch 2: the loss is nan; the last sound epoch is kept.*learning-rate"):
        run(built, padded, tmp_path, epochs=3)
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


def test_the_kept_model_has_equal_bytes_each_time_and_no_optimizer(built, padded, store, tmp_path):
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


def test_a_retry_repeats_the_epoch_that_failed_and_no_other(imdb, trained, run, monkeypatch):
    import tasks.train as module

    begun = []

    def fail_once(model, train, validation, settings, epoch, *rest):
        begun.append(epoch)
        if begun == [3, 4]:
            raise RuntimeError("the machine hiccups")
        return fit_epoch(model, train, validation, settings, epoch, *rest)

    monkeypatch.setattr(module, "fit_epoch", fail_once)
    monkeypatch.setattr(module.train.task, "retry_delay_seconds", 0)
    run(small(imdb, training={"epochs": 4}))
    assert begun == [3, 4, 4]


def test_balanced_labels_count_the_same_together_and_the_rare_one_is_found_more_often(built, tmp_path):
    many = make_padded(120, maxlen=64, seed=1)
    kept = np.flatnonzero((many.labels == 0) | (np.arange(len(many.labels)) % 6 == 0))
    few = dataclasses.replace(many, tokens=many.tokens[kept], lengths=many.lengths[kept], labels=many.labels[kept])
    weights, counts = balanced_weights([few]), np.bincount(few.labels)
    assert weights[0] * counts[0] == pytest.approx(weights[1] * counts[1])
    assert weights[0] * counts[0] + weights[1] * counts[1] == pytest.approx(len(few.labels))
    recalls = {
        name: run(built, few, tmp_path / name, class_weight=name)[1][-1].model_dump()["val_recall"]
        for name in ("none", "balanced")
    }
    assert recalls["balanced"] > recalls["none"]


def test_a_network_of_three_labels_learns_them_and_resumes(tmp_path):
    reviews = make_padded(120, maxlen=64, seed=1)
    three = dataclasses.replace(reviews, labels=np.where(reviews.lengths > 45, 2, reviews.labels))
    settings = ModelSettings(**TRACED_SOONEST, units=8, embedding_dim=8, dense_units=8)
    save_model(make_model(settings, WORDS, 3), tmp_path / "three.keras")
    cut = Cut(tmp_path / "straight", tmp_path / "cut", after=2)
    straight, history = run(tmp_path / "three.keras", three, cut.whole, cut, epochs=4, learning_rate=0.03)
    assert history[-1].model_dump()["val_accuracy"] > 0.6
    assert "precision" not in history[-1].model_dump()
    said = []
    resumed, _history = run(tmp_path / "three.keras", three, cut.folder, said, epochs=4, learning_rate=0.03)
    assert said[0].startswith("Going on after epoch 2")
    assert weights_equal(straight, resumed)
