import json

import pytest
from mlflow.tracking import MlflowClient
from prefect import get_client

import tasks.train
from flows.compare_flow import compare_flow
from tasks.core.errors import TrainingError
from tasks.core.files import list_files
from tasks.core.flow_settings import CompareSettings
from tasks.core.inventory import list_artifacts, strangers
from tasks.core.pruning import COMPARISON_FILES
from tasks.judging.registry import address_of
from tasks.log_comparison import log_once
from tasks.showing.comparisons import show_comparison
from tests.small_runs import small

TWO = {"cells": ["simple_rnn"], "ways": ["one"], "grid": "model.units=4,2"}
MEMBERS = ["simple_rnn one-way, model.units=4", "simple_rnn one-way, model.units=2"]


@pytest.fixture
def compare(store, prefect_server):
    """The comparison, with its records in the test's store; returns comparison.json and the folder."""
    flow = compare_flow.with_options(result_storage=store / "results")

    def compare_them(settings) -> dict:
        folder = flow(settings)
        return json.loads((folder / "comparison.json").read_text()) | {"folder": folder}

    return compare_them


def of(imdb, **settings) -> CompareSettings:
    return CompareSettings.model_validate(small(imdb).model_dump() | settings)


def trained_now(comparison: dict) -> set[str]:
    """The members that had to be trained."""
    return {
        member["name"]
        for member in comparison["members"]
        for run in member["runs"]
        for step in run["steps"]
        if step["name"] == "train" and not step["cached"]
    }


def test_two_networks_are_compared_and_a_third_trains_that_one_alone(compare, imdb, trained, capsys):
    first = compare(of(imdb, **TWO))
    folder = first["folder"]
    assert (trained / "comparisons" / "latest").resolve() == folder
    files = [path.relative_to(folder).as_posix() for path in list_files(folder)]
    assert set(files) == {"comparison.html", "comparison.json", "config.json", "figures/learning_curves.svg"}
    assert all(map(COMPARISON_FILES.fullmatch, files)), "pruning takes a folder with other files for someone else's"
    assert CompareSettings.model_validate_json((folder / "config.json").read_text()) == of(imdb, **TWO)

    assert trained_now(first) == {*MEMBERS}
    losses = [member["summary"]["validation_loss"] for member in first["members"]]
    assert losses == sorted(losses)
    assert first["chosen"] == first["members"][0]["name"]
    (pair,) = first["pairs"]
    assert pair["adjusted"] == pair["p_value"]
    for member in first["members"]:
        (run,) = member["runs"]
        low, high = member["summary"]["ci95"]
        assert low <= run["accuracy"] <= high
        assert [step["name"] for step in run["steps"] if not step["cached"]] == ["build", "train", "evaluate", "judge"]

    page = (folder / "comparison.html").read_text()
    assert page.count("<svg") == 1
    assert all(name in page for name in MEMBERS)
    assert "test figures of all 2 networks" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")
    assert show_comparison(folder) == 0
    printed = capsys.readouterr().out
    assert "The validation reviews choose simple_rnn one-way" in printed
    assert str(folder / "comparison.html") in printed

    # What housekeeping makes of it: the members' artifacts are in use, the folder is no stranger.
    users = {entry["key"]: entry["runs"] for entry in list_artifacts(trained)}
    key = first["members"][0]["runs"][0]["artifacts"]["train"]["key"]
    assert users[key] == [folder.name]
    assert strangers(trained) == []
    with get_client(sync_client=True) as client:
        assert "imdb-pipeline-comparison" in {its.key for its in client.read_artifacts()}

    wider = of(imdb, **(TWO | {"grid": "model.units=4,2,3"}))
    assert trained_now(compare(wider)) == {"simple_rnn one-way, model.units=3"}


def test_a_member_that_fails_is_shown_with_its_reason_and_the_others_go_on(compare, imdb, trained, monkeypatch, capsys):
    real = tasks.train.fit_epoch

    def fail_small(model, *arguments, **named):
        if model.get_layer("simple_rnn_1").units == 4:
            raise TrainingError("the loss is <not> a number")
        return real(model, *arguments, **named)

    monkeypatch.setattr(tasks.train, "fit_epoch", fail_small)
    comparison = compare(of(imdb, **TWO))
    finished, failed = comparison["members"]
    assert (finished["name"], failed["name"]) == (MEMBERS[1], MEMBERS[0])
    assert failed["failure"] == "train with seed 113: the loss is <not> a number"
    assert (failed["summary"], failed["runs"]) == (None, [])
    assert comparison["pairs"] == []
    assert "the loss is &lt;not&gt; a number" in (comparison["folder"] / "comparison.html").read_text()
    assert show_comparison(comparison["folder"]) == 1
    assert f"{MEMBERS[0]} failed: train with seed 113" in " ".join(capsys.readouterr().out.split())

    # In MLflow the comparison is a run, and each member one below it.
    for _again in range(2):
        parent = log_once(comparison["folder"], small(imdb).tracking, None)
    client = MlflowClient(address_of(None), address_of(None))
    (experiment,) = [its for its in client.search_experiments() if its.name == "imdb-pipeline"]
    by_id = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    children = [run for run in by_id.values() if run.data.tags.get("mlflow.parentRunId") == parent]
    assert len(by_id) == 3, "the same comparison is logged once"
    assert {run.info.run_name: run.info.status for run in children} == {MEMBERS[0]: "FAILED", MEMBERS[1]: "FINISHED"}
    good = next(run for run in children if run.info.status == "FINISHED")
    assert good.data.metrics["mean_accuracy"] == pytest.approx(finished["summary"]["accuracy"])
    assert good.data.params["model.units"] == "2"
    losses = client.get_metric_history(good.info.run_id, "val_loss")
    assert len(losses) == len(finished["runs"][0]["history"])
    assert {file.path for file in client.list_artifacts(parent)} == {
        "comparison.html",
        "comparison.json",
        "config.json",
        "figures",
    }
