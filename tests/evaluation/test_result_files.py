import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.evaluation.result_files import RunMetrics, SplitMetrics, Training, write_training
from tests.support.small_runs import epochs

PROJECT = Path(__file__).parents[2]


def test_the_page_of_the_metrics_is_up_to_date():
    command = [sys.executable, "docs/metrics_page.py"]
    done = subprocess.run(command, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert done.stdout == (PROJECT / "docs" / "metrics.md").read_text(), "python docs/metrics_page.py > docs/metrics.md"
    assert all(f"| `{name}` | " in done.stdout for name in RunMetrics.model_fields)


def test_a_key_without_a_description_is_refused():
    with pytest.raises(ValidationError, match="median"):
        SplitMetrics.model_validate({"median": 30})


def test_a_training_history_is_read_as_it_was_written(tmp_path):
    write_training(tmp_path, epochs(0.5, 0.4, 0.6), bucketing=True, keep_best=True)
    training = Training.read(tmp_path)
    assert (training.best_epoch, training.kept_epoch) == (2, 2)
    assert [str(epoch["epoch"]) for epoch in training.history] == ["1", "2", "3"], "shown to people, in reports too"
    assert [epoch["val_loss"] for epoch in training.history] == [0.5, 0.4, 0.6]
    write_training(tmp_path, epochs(0.5, 0.4, 0.6), bucketing=True, keep_best=False)
    assert Training.read(tmp_path).kept_epoch == 3
