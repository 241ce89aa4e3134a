"""`imdb-pipeline diff` compares two runs, and `--preset config.json` repeats one."""

import json
import shutil
import sys

import pytest

from flows import command
from flows.diff import describe_test
from flows.imdb_flow import check_train
from tasks.core.errors import ModelError, RegistryError
from tasks.core.run_settings import RunSettings
from tasks.evaluation.run_differences import compare_artifacts
from tasks.run_folder import read_run
from tasks.store.store import Store
from tests.support.small_runs import STEPS, small


@pytest.fixture
def call(monkeypatch, capsys):
    """A function that runs a command and returns its status and output."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["imdb-pipeline", *words])
        return command.main(), capsys.readouterr().out

    return run


def test_diff_shows_settings_artifacts_flips_and_missing_files(trained, run, imdb, call, tmp_path):
    first = (trained / "runs" / "latest").resolve().name
    second = run(small(imdb, evaluation={"threshold": 0.9}))["folder"].name
    status, output = call("diff", first, "latest", "--json", "--html", str(tmp_path / "diff.html"))
    found = json.loads(output)
    assert (status, found["first"], found["second"]) == (0, first, second)
    assert [its["text"] for its in found["causes"]] == ["evaluation.threshold 0.5 → 0.9"]
    assert [step for step, same in found["artifacts"].items() if not same][-1] == "package"
    assert found["artifacts"]["train"]
    assert (found["data"]["added"], found["tested"]["texts"], found["tested"]["only"]) == (0, 80, 0)
    flips, paired = found["tested"]["flips"], found["tested"]["paired"]
    assert len(flips) == found["tested"]["flipped"] > 0
    assert {(its["verdict"], its["verdict_after"]) for its in flips} == {("positive", "negative")}
    assert paired["only_first"] + paired["only_second"] == len(flips)
    assert flips[0]["text"] in (page := (tmp_path / "diff.html").read_text())
    assert "evaluation.threshold" in page
    shutil.rmtree(trained / "evaluate")
    status, output = call("diff", first, second)
    assert status == 0
    assert "not compared" in output
    assert call("diff", "nothing", second)[0] == 1


def test_an_earlier_run_with_the_step_select_is_compared_but_not_tracked(trained, call):
    path = trained / "runs" / "latest" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["artifacts"]["select"] = metrics["artifacts"]["score"]
    path.write_text(json.dumps(metrics))
    shutil.rmtree(trained / "evaluate")
    status, output = call("diff", "latest", "latest", "--json")
    assert (status, json.loads(output)["tested"]["texts"]) == (0, 80)
    with pytest.raises(ModelError, match=r"another version, with select; repeat .* \(train --preset .*/config.json\)"):
        read_run("latest", Store(trained))


@pytest.mark.slow
def test_a_run_is_repeated_byte_for_byte_in_another_store(first_run, store, prefect_server, call):
    before = first_run / "runs" / "latest"
    status, output = call("train", "--preset", str(before / "config.json"))
    assert status == 0, output
    metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
    same = compare_artifacts(json.loads((before / "metrics.json").read_text()), metrics)
    assert same == dict.fromkeys(STEPS, True)
    assert not any(step["cached"] for step in metrics["steps"])
    assert {"commit", "dirty", "processor", "cores"} <= set(metrics["machine"])


def test_the_difference_in_a_metric_says_which_run_is_better():
    paired = {"metric": "log_loss", "difference": 0.012, "ci95": [0.004, 0.02], "p_value": 0.01}
    paired |= {"only_first": 3, "only_second": 1}
    said = describe_test({"paired": paired, "texts": 80, "only": 0})
    assert said.startswith("The second run is better than the first run by 0.0120 nats of log_loss: ")
    assert "(95% interval +0.0040 to +0.0200; " in said


def test_an_invalid_mlflow_address_is_refused_before_the_run(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
    with pytest.raises(RegistryError, match="has no scheme"):
        check_train(RunSettings())
