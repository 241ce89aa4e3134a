"""`imdb-pipeline diff` compares two runs, and `train --like` repeats one."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from flows import command, imdb_flow
from flows.diff import describe_test
from flows.imdb_flow import check_train
from tasks.core.command_settings import TrainSettings
from tasks.core.errors import InputError, ModelError, RegistryError
from tasks.core.run_settings import RunSettings
from tasks.run_folder import read_run
from tasks.store import step as module
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
    with pytest.raises(ModelError, match=r"made by another version, with select; repeat the run with this one \(train"):
        read_run("latest", Store(trained))


@pytest.mark.slow
def test_a_run_is_repeated_byte_for_byte_in_another_store(first_run, store, prefect_server, call):
    status, output = call("train", "--like", str(first_run / "runs" / "latest"))
    assert status == 0, output
    assert output.count("identical") == len(STEPS)
    assert "cached" not in output.partition("as in")[2]
    metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
    assert {"commit", "dirty", "processor", "cores"} <= set(metrics["machine"])


def test_like_latest_means_the_run_before_the_repetition(trained, monkeypatch):
    latest = trained / "runs" / "latest"
    before, repetition = latest.resolve(), latest.with_name("repetition")

    def repeat(_settings: RunSettings) -> Path:
        repetition.mkdir()
        latest.unlink()
        latest.symlink_to(repetition.name)
        return repetition

    monkeypatch.setattr(imdb_flow, "imdb_flow", repeat)
    assert imdb_flow.train_flow(TrainSettings(like="latest")) == (repetition, str(before))


def test_the_difference_in_a_metric_says_which_run_is_better():
    paired = {"metric": "log_loss", "difference": 0.012, "ci95": [0.004, 0.02], "p_value": 0.01}
    paired |= {"only_first": 3, "only_second": 1}
    said = describe_test({"paired": paired, "texts": 80, "only": 0})
    assert said.startswith("The second run is better than the first run by 1.20 points of log_loss: ")
    assert "(95% interval +0.40 to +2.00; " in said


def test_a_repetition_that_could_not_be_tracked_says_so(monkeypatch, trained):
    monkeypatch.setattr(imdb_flow, "show_run", lambda _folder: 3)
    run = trained / "runs" / "latest"
    assert imdb_flow.show_trained((run, str(run))) == 3


def test_an_invalid_mlflow_address_is_refused_before_the_run(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
    with pytest.raises(RegistryError, match="has no scheme"):
        check_train(TrainSettings())


def like(run: Path, settings: dict, **values) -> TrainSettings:
    return TrainSettings.model_validate(settings | {"like": str(run)} | values)


def test_like_refuses_changed_settings_or_code_without_anyway(trained, imdb, monkeypatch):
    run, settings = trained / "runs" / "latest", small(imdb).model_dump()
    check_train(like(run, settings))
    more = small(imdb, training={"epochs": 9}).model_dump()
    with pytest.raises(InputError, match=r"--anyway[^\n]*\n  train: training.epochs 2 → 9$"):
        check_train(like(run, more))
    check_train(like(run, more, anyway=True))
    code = module.describe_code
    monkeypatch.setattr(module, "describe_code", lambda name: code(name) | {"library numpy": "9"})
    with pytest.raises(InputError, match=r"encode: numpy \S+ → 9"):
        check_train(like(run, settings))
    more = small(imdb, model={"phrases": True}).model_dump()
    with pytest.raises(InputError, match="phrases: that run lacks this step"):
        check_train(like(run, more))
    shutil.rmtree(trained / "encode")
    with pytest.raises(InputError, match="encode: its settings, inputs, code or libraries differ"):
        check_train(like(run, settings))
