import os
from pathlib import Path

import pytest

from tasks.build import make_model
from tasks.core.locks import locked
from tasks.core.settings import ModelSettings
from tasks.evaluation.result_files import best_epoch
from tasks.network.checkpoint import Checkpoint, remove_old_trainings
from tests.support.small_runs import epochs


@pytest.fixture(scope="module")
def model():
    return make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2), 20)


def test_the_best_epoch_is_the_earliest_of_the_lowest_losses():
    assert best_epoch(epochs(0.5, 0.3, 0.4, 0.3)) == 2


def names(checkpoint: Checkpoint) -> list[str]:
    return sorted(path.name for path in checkpoint.folder.iterdir())


def test_the_last_two_epochs_and_their_best_are_kept_and_no_others(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.read(warn=pytest.fail) is None
    for count in range(1, 6):
        checkpoint.write(model, epochs(0.5, 0.3, 0.4, 0.6, 0.2)[:count])
    state = checkpoint.read(warn=pytest.fail)
    assert (state.last, state.best) == ("epoch-00005.keras", "epoch-00005.keras")
    assert [epoch.val_loss for epoch in state.history] == [0.5, 0.3, 0.4, 0.6, 0.2]
    numbers = [2, 4, 4, 5, 5]  # the second is the best of the first four
    assert [int(name[6:11]) for name in names(checkpoint)] == numbers


def test_a_finished_training_leaves_its_last_state_for_a_longer_one(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    for count in range(1, 4):
        checkpoint.write(model, epochs(0.5, 0.4, 0.3)[:count])
    checkpoint.finish(warn=pytest.fail)
    assert names(checkpoint) == ["epoch-00003.json", "epoch-00003.keras", "finished"]
    assert len(checkpoint.read(warn=pytest.fail).history) == 3
    checkpoint.write(model, epochs(0.5, 0.4, 0.3, 0.2))
    assert "finished" not in names(checkpoint)


def test_only_the_newest_finished_trainings_stay(model, tmp_path):
    for number in range(4):
        checkpoint = Checkpoint(tmp_path / f"c{number}")
        checkpoint.write(model, epochs(0.5))
        if number:
            checkpoint.finish(warn=pytest.fail)
            os.utime(checkpoint.folder / "finished", (number, number))

    def lock_named(name: str):
        return locked(tmp_path / "locks" / name, wait=False)

    with lock_named("c1"):
        remove_old_trainings(tmp_path, lock_named, 1)
    assert sorted(path.name for path in tmp_path.glob("c*")) == ["c0", "c1", "c3"]
    remove_old_trainings(tmp_path, lock_named, 1)
    assert sorted(path.name for path in tmp_path.glob("c*")) == ["c0", "c3"]


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])


@pytest.mark.parametrize("name", ["epoch-00003.json", "epoch-00003.keras"])
def test_a_damaged_epoch_is_named_and_the_one_before_is_taken(model, tmp_path, name):
    checkpoint = Checkpoint(tmp_path / "c")
    for count in range(1, 4):
        checkpoint.write(model, epochs(0.5, 0.4, 0.3)[:count])
    damage(checkpoint.folder / name)
    said = []
    assert checkpoint.read(warn=said.append).last == "epoch-00002.keras"
    assert len(said) == 1
    assert name in said[0]
    damage(checkpoint.folder / "epoch-00002.keras")
    assert checkpoint.read(warn=said.append) is None
    assert "epoch-00002.keras" in said[-2]
    assert said[-1].endswith("training starts from the beginning")


def test_a_state_that_is_not_wanted_is_passed_over(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    for count in range(1, 4):
        checkpoint.write(model, epochs(0.5, 0.4, 0.3)[:count])
    state = checkpoint.read(warn=pytest.fail, is_usable=lambda history: len(history) <= 2)
    assert state.last == "epoch-00002.keras"
    assert checkpoint.read(warn=pytest.fail, is_usable=lambda history: False) is None


def test_a_shorter_training_keeps_the_epochs_of_a_longer_one_that_was_killed(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    losses = (0.9, 0.8, 0.7, 0.6, 0.5)
    for count in range(1, 6):
        checkpoint.write(model, epochs(*losses[:count]))
    for count in range(1, 3):
        checkpoint.write(model, epochs(*losses[:count]))
    assert len(checkpoint.read(warn=pytest.fail).history) == 5


def test_epochs_can_be_cleared(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.clear()
    checkpoint.write(model, epochs(0.5))
    checkpoint.clear()
    assert checkpoint.read(warn=pytest.fail) is None
