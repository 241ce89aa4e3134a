import os
import shutil
from pathlib import Path

import pytest

from tasks.build import make_model
from tasks.core.errors import StoreError
from tasks.core.run_settings import ModelSettings
from tasks.evaluation.training_history import best_epoch
from tasks.network.checkpoint import Checkpoint, State, open_checkpoint, remove_old_trainings
from tasks.store.artifact import seal
from tasks.store.bucket import Bucket
from tasks.store.leases import LeaseLostError
from tasks.store.shared_store import SharedStore
from tasks.store.store import Store
from tests.support.small_runs import epochs


@pytest.fixture(scope="module")
def model():
    return make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2), 20)


def test_the_best_epoch_is_the_first_with_the_lowest_loss():
    assert best_epoch(epochs(0.5, 0.3, 0.4, 0.3)) == 2


def test_of_epochs_with_equal_costs_the_best_has_the_lowest_loss():
    equal = [epoch.model_copy(update={"cost": -0.5}) for epoch in epochs(0.5, 0.3, 0.4)]
    assert best_epoch(equal) == 2
    assert best_epoch([*equal, epochs(0.1)[0].model_copy(update={"epoch": 4, "cost": -0.4})]) == 2


def names(checkpoint: Checkpoint) -> list[str]:
    return sorted(path.name for path in checkpoint.folder.iterdir())


def write(checkpoint: Checkpoint, model, *losses: float) -> None:
    for epoch in epochs(*losses):
        checkpoint.write(model, epoch)


def epoch_file(checkpoint: Checkpoint, epoch: int) -> Path:
    (path,) = checkpoint.folder.glob(f"epoch-{epoch:05}.*.keras")
    return path


def test_a_checkpoint_contains_only_the_last_two_epochs_and_their_best(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.read(warn=pytest.fail) is None
    write(checkpoint, model, 0.5, 0.3, 0.4, 0.6, 0.2)
    state = checkpoint.read(warn=pytest.fail)
    assert state.last == state.best == epoch_file(checkpoint, 5).name
    assert [epoch.val_loss for epoch in state.history] == [0.5, 0.3, 0.4, 0.6, 0.2]
    numbers = [2, 4, 4, 5, 5]  # epoch 2 is the best of the first four
    assert [int(name[6:11]) for name in names(checkpoint)] == numbers


def test_a_finished_training_can_be_continued_from_its_last_epoch(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    write(checkpoint, model, 0.5, 0.4, 0.3)
    checkpoint.finish()
    assert names(checkpoint) == sorted(["epoch-00003.json", epoch_file(checkpoint, 3).name, "finished"])
    assert len(checkpoint.read(warn=pytest.fail).history) == 3
    checkpoint.write(model, epochs(0.5, 0.4, 0.3, 0.2)[-1])
    assert "finished" not in names(checkpoint)


def test_old_finished_trainings_are_removed_unless_in_use(model, tmp_path):
    store, place = Store(tmp_path), tmp_path / "checkpoints" / "train"
    for number in range(6):
        checkpoint = Checkpoint(place / f"c{number}")
        write(checkpoint, model, 0.5)
        if number:
            checkpoint.finish()
            os.utime(checkpoint.folder / "finished", (number, number))
    with store.held("train/c1"):
        remove_old_trainings(store, "train")
    assert sorted(path.name for path in place.iterdir()) == ["c0", "c1", "c3", "c4", "c5"]
    remove_old_trainings(store, "train")
    assert sorted(path.name for path in place.iterdir()) == ["c0", "c3", "c4", "c5"]


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])


@pytest.mark.parametrize("name", ["epoch-00003.json", "epoch-00003.*.keras"])
def test_a_damaged_epoch_is_reported_and_the_previous_one_is_used(model, tmp_path, name):
    checkpoint = Checkpoint(tmp_path / "c")
    write(checkpoint, model, 0.5, 0.4, 0.3)
    (damaged,) = checkpoint.folder.glob(name)
    damage(damaged)
    said = []
    assert checkpoint.read(warn=said.append).last == epoch_file(checkpoint, 2).name
    assert len(said) == 1
    assert damaged.name in said[0]
    damage(epoch_file(checkpoint, 2))
    assert checkpoint.read(warn=said.append) is None
    assert epoch_file(checkpoint, 2).name in said[-2]
    assert said[-1].endswith("training starts from the beginning")


def test_unusable_states_are_skipped(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    write(checkpoint, model, 0.5, 0.4, 0.3)
    state = checkpoint.read(warn=pytest.fail, is_usable=lambda state: len(state.history) <= 2)
    assert state.last == epoch_file(checkpoint, 2).name
    assert checkpoint.read(warn=pytest.fail, is_usable=lambda state: False) is None


def test_a_shorter_training_does_not_remove_epochs_of_a_longer_one(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    losses = (0.9, 0.8, 0.7, 0.6, 0.5)
    write(checkpoint, model, *losses)
    write(Checkpoint(tmp_path / "c"), model, *losses[:2])
    assert len(checkpoint.read(warn=pytest.fail).history) == 5


def test_epochs_can_be_cleared(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.clear()
    write(checkpoint, model, 0.5)
    checkpoint.clear()
    assert checkpoint.read(warn=pytest.fail) is None


def lose_lease_at(call: int):
    """Return a check that raises LeaseLostError from this call on."""
    calls = iter(range(1, 10))

    def check():
        if next(calls) >= call:
            raise LeaseLostError("another worker has taken over")

    return check


@pytest.mark.parametrize(("lost_at", "names"), [(1, 0), (2, 1), (3, 2)])
def test_a_worker_that_lost_its_lease_stops_writing_and_removes_nothing(model, bucket, tmp_path, lost_at, names):
    checkpoint = Checkpoint(tmp_path / "c", bucket)
    write(checkpoint, model, 0.5)
    before = set(bucket.names(""))
    checkpoint.check = lose_lease_at(lost_at)
    with pytest.raises(LeaseLostError):
        checkpoint.write(model, epochs(0.5, 0.4)[-1])
    after = set(bucket.names(""))
    assert before <= after
    assert len(after - before) == names


def test_another_machine_resumes_from_the_bucket_despite_local_damage(model, bucket, tmp_path):
    write(Checkpoint(tmp_path / "here", bucket), model, 0.5, 0.4, 0.3)
    there = Checkpoint(tmp_path / "there", bucket)
    assert len(there.read(warn=pytest.fail).history) == 3
    for path in there.folder.iterdir():
        damage(path)
    assert len(there.read(warn=pytest.fail).history) == 3
    there.write(model, epochs(0.5, 0.4, 0.3, 0.2)[-1])
    assert set(bucket.names("")) == {*names(there), *names(Checkpoint(tmp_path / "here"))} - {"epoch-00002.json"} - {
        path.name for path in (tmp_path / "here").glob("epoch-00002.*")
    }


def test_an_interrupted_removal_of_old_trainings_in_a_bucket_is_completed(model, bucket, tmp_path, monkeypatch):
    store = SharedStore(tmp_path, bucket)
    for number in range(6):
        with store.held(f"train/{number}") as check:
            checkpoint = open_checkpoint(store, f"train/{number}", check)
            write(checkpoint, model, 0.5)
            if number:
                checkpoint.finish()
                shutil.rmtree(checkpoint.folder)  # as if another machine had trained
    remove, removed = Bucket.remove, []

    def remove_one(place, name):
        if removed:
            raise StoreError("the object store does not answer")
        removed.append(name)
        remove(place, name)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "remove", remove_one)
        with pytest.raises(StoreError):
            remove_old_trainings(store, "train")
    assert removed[0].endswith(".json")
    remove_old_trainings(store, "train")
    trainings = {name.split("/")[2] for name in bucket.names("checkpoints")}
    assert trainings == {"0", "3", "4", "5"}


def test_epochs_in_a_bucket_can_be_cleared(model, bucket, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", bucket)
    write(checkpoint, model, 0.5)
    checkpoint.clear()
    assert bucket.names("") == {}


@pytest.mark.usefixtures("object_store")  # SeaweedFS does not accept such names
@pytest.mark.parametrize("name", ["../../../outside.txt", "/outside.txt", "a\\b"])
def test_epochs_that_name_files_outside_the_checkpoint_are_skipped(bucket, tmp_path, name):
    (tmp_path / "outside").write_text("outside")
    state = State.model_construct(history=epochs(0.5), last=name, best=name)
    bucket.create("epoch-00001.json", seal(state))
    bucket.create(name, b"outside")
    bucket.create(f"../../{name}.json", b"outside")
    said = []
    assert Checkpoint(tmp_path / "store" / "checkpoints" / "train" / "abc", bucket).read(said.append) is None
    assert ["is not a relative path" in line for line in said] == [True, False]
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"outside", "epoch-00001.json"}
