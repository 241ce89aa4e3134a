from contextlib import contextmanager

import pytest

from tasks.core.errors import StoreError
from tasks.core.files import hash_file
from tasks.network.checkpoint import Checkpoint, State
from tasks.network.remote_checkpoint import FINISHED, RemoteCheckpoint, remove_old_remote_trainings
from tasks.store.artifact import seal
from tasks.store.leases import LeaseLostError

KEY = "train/abc"


def write(epochs: RemoteCheckpoint, folder, epoch: int, kept=()) -> None:
    """Share an epoch: its network, and the state that names it."""
    folder.mkdir(exist_ok=True)
    network, state = folder / f"epoch-{epoch:05}.keras", f"epoch-{epoch:05}.json"
    network.write_text(f"the network after epoch {epoch}")
    (folder / state).write_text("{}")
    epochs.write(folder, state, {network.name: hash_file(network)}, kept)


def losing_it_at(call: int):
    """A check that lets `call` - 1 writes through."""
    calls = iter(range(1, 10))

    def check():
        if next(calls) >= call:
            raise LeaseLostError("another worker has taken over")

    return check


@pytest.mark.parametrize(("lost_at", "names"), [(1, 0), (2, 1), (3, 2)])
def test_who_has_lost_a_training_writes_no_more_and_removes_nothing(bucket, tmp_path, lost_at, names):
    epochs = RemoteCheckpoint(bucket, KEY)
    write(epochs, tmp_path / "here", 1)
    before = set(bucket.names("checkpoints"))
    with pytest.raises(LeaseLostError):
        write(RemoteCheckpoint(bucket, KEY, losing_it_at(lost_at)), tmp_path / "here", 2)
    after = set(bucket.names("checkpoints"))
    assert before <= after
    assert len(after - before) == names


def test_of_the_finished_trainings_the_newest_stay_and_a_removal_that_was_cut_short_is_done_again(
    bucket, tmp_path, monkeypatch
):
    for number in (1, 2):
        epochs = RemoteCheckpoint(bucket, f"train/{number}")
        for epoch in (1, 2):
            write(epochs, tmp_path / str(number), epoch, kept=("epoch-00001.json", "epoch-00001.keras"))
        epochs.finish("epoch-00002.json", ())
    unfinished = RemoteCheckpoint(bucket, "train/3")
    write(unfinished, tmp_path / "3", 1)

    @contextmanager
    def free(_key):
        yield True

    removed, remove = [], bucket.remove

    def remove_one(name):
        if removed:
            raise StoreError("the object store does not answer")
        removed.append(name)
        remove(name)

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "remove", remove_one)
        with pytest.raises(StoreError):
            remove_old_remote_trainings(bucket, "train", 1, free)
    assert removed[0].endswith(".json")
    assert bucket.read(f"checkpoints/train/1/{FINISHED}") is not None
    remove_old_remote_trainings(bucket, "train", 1, free)
    trainings = {name.split("/")[2] for name in bucket.names("checkpoints")}
    assert trainings == {"2", "3"}


def test_epochs_can_be_cleared(bucket, tmp_path):
    epochs = RemoteCheckpoint(bucket, KEY)
    write(epochs, tmp_path / "here", 1)
    epochs.clear()
    assert bucket.names("checkpoints") == {}


@pytest.mark.usefixtures("object_store")  # SeaweedFS does not accept such names
@pytest.mark.parametrize("name", ["../../../outside.txt", "/outside.txt", "a\\b"])
def test_epochs_that_name_files_elsewhere_are_passed_over(bucket, tmp_path, name):
    remote, said = RemoteCheckpoint(bucket, KEY), []
    (tmp_path / "outside").write_text("outside")
    sha256 = hash_file(tmp_path / "outside")
    state = State.model_construct(history=[], last=name, best=name, files={name: sha256})
    bucket.create(f"checkpoints/{KEY}/epoch-00002.json", seal(state))
    bucket.create(f"checkpoints/{KEY}/{name}.{sha256}", b"outside")
    bucket.create(f"checkpoints/{KEY}/../../{name}.json", b"outside")
    checkpoint = Checkpoint(tmp_path / "store" / "checkpoints" / KEY, remote)
    assert checkpoint.read(said.append) is None
    assert ["is not a relative path" in line for line in said] == [True]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["outside"]
