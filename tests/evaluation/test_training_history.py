from tasks.evaluation.training_history import Training, write_training
from tests.support.small_runs import epochs


def test_a_training_history_is_read_back_as_written(tmp_path):
    write_training(tmp_path, epochs(0.5, 0.4, 0.6), bucketing=True, keep_best=True)
    training = Training.read(tmp_path)
    assert (training.best_epoch, training.kept_epoch) == (2, 2)
    assert [str(epoch["epoch"]) for epoch in training.history] == ["1", "2", "3"], "reports show integers"
    assert [epoch["val_loss"] for epoch in training.history] == [0.5, 0.4, 0.6]
    write_training(tmp_path, epochs(0.5, 0.4, 0.6), bucketing=True, keep_best=False)
    assert Training.read(tmp_path).kept_epoch == 3
