import pytest

from tasks.build import make_model
from tasks.core.settings import ModelSettings
from tasks.network.checkpoint import Checkpoint, best_epoch
from tests.small_runs import epochs


@pytest.fixture(scope="module")
def model():
    return make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2), 20)


def test_the_best_epoch_is_the_earliest_of_the_lowest_losses():
    assert best_epoch(epochs(0.5, 0.3, 0.4, 0.3)) == 2


def test_the_last_and_the_best_epoch_are_kept_and_no_others(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.read(warn=pytest.fail) is None
    for count in range(1, 5):
        checkpoint.write(model, epochs(0.5, 0.3, 0.4, 0.6)[:count])
    state = checkpoint.read(warn=pytest.fail)
    assert (state.last, state.best) == ("epoch-00004.keras", "epoch-00002.keras")
    assert sorted(path.name for path in checkpoint.folder.glob("*.keras")) == [state.best, state.last]
    assert [epoch.val_loss for epoch in state.history] == [0.5, 0.3, 0.4, 0.6]
    checkpoint.remove()
    assert not checkpoint.folder.exists()


@pytest.mark.parametrize("name", ["state.json", "epoch-00002.keras"])
def test_a_damaged_checkpoint_is_named_and_not_used(model, tmp_path, name):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.write(model, epochs(0.5))
    checkpoint.write(model, epochs(0.5, 0.3))
    path = checkpoint.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    said = []
    assert checkpoint.read(warn=said.append) is None
    assert len(said) == 1
    assert name in said[0]
