import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.evaluation.result_files import LengthMetrics, RunMetrics

PROJECT = Path(__file__).parents[2]


def test_the_page_of_the_metrics_is_up_to_date():
    command = [sys.executable, "docs/metrics_page.py"]
    done = subprocess.run(command, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert done.stdout == (PROJECT / "docs" / "metrics.md").read_text(), "python docs/metrics_page.py > docs/metrics.md"
    assert all(f"| `{name}` | " in done.stdout for name in RunMetrics.model_fields)


def test_a_key_without_a_description_is_refused():
    values = {"from": 1, "to": 64, "reviews": 3, "accuracy": 1.0, "ci95": [0.4, 1.0]}
    assert LengthMetrics.model_validate(values).as_json() == values
    with pytest.raises(ValidationError, match="median"):
        LengthMetrics.model_validate(values | {"median": 30})
