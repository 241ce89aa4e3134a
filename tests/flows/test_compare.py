import json
import re
import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import flows.training
from flows.compare_flow import compare_flow
from tasks.compare import log_once
from tasks.core.command_settings import CompareSettings
from tasks.core.errors import TrainingError
from tasks.core.files import list_files
from tasks.registry.client import address_of
from tasks.reporting.terminal_output import show_comparison
from tasks.store.artifact import Artifact
from tasks.store.inventory import list_artifacts
from tasks.store.pruning import OWN_FILES
from tasks.train import Trainer
from tests.support.small_runs import small
from tests.support.web import free_port

# The first run has trained this network, so it comes from the cache.
TRAINED = {"cells": ["simple_rnn"], "ways": ["one"]}
SEARCH = {"search": "model.cell=simple_rnn model.bidirectional=false model.units=2..3", "trials": 1}
MEMBERS = {"simple_rnn unidirectional", "trial 0"}


def of(imdb, **settings) -> CompareSettings:
    return CompareSettings.model_validate(small(imdb).model_dump() | settings)


def compare(store, settings) -> dict:
    """Run a comparison, and return its comparison.json and folder."""
    folder = compare_flow(settings)
    return json.loads((folder / "comparison.json").read_text()) | {"folder": folder}


@pytest.fixture(scope="module")
def searched(imdb, first_run, prefect_server, tmp_path_factory) -> tuple[Path, dict]:
    """A store, and in it a comparison of a cached network with the result of a search of one trial."""
    store = tmp_path_factory.mktemp("searched") / "store"
    shutil.copytree(first_run, store, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTIFACTS_STORE", str(store))
        return store, compare(store, of(imdb, **TRAINED, **SEARCH))


def test_a_comparison_writes_a_page_its_numbers_and_a_figure(searched, imdb):
    store, comparison = searched
    folder = comparison["folder"]
    assert (store / "comparisons" / "latest").resolve() == folder
    files = [path.relative_to(folder).as_posix() for path in list_files(folder)]
    assert set(files) == {"comparison.html", "comparison.json", "config.json", "figures/learning_curves.svg"}
    assert all(map(OWN_FILES["comparisons"].fullmatch, files)), "pruning treats a folder with other files as foreign"
    assert CompareSettings.model_validate_json((folder / "config.json").read_text()) == of(imdb, **TRAINED, **SEARCH)
    assert {member["name"] for member in comparison["members"]} == MEMBERS
    losses = [member["summary"]["validation_loss"] for member in comparison["members"]]
    assert losses == sorted(losses)
    assert comparison["chosen"] == comparison["members"][0]["name"]
    (pair,) = comparison["pairs"]
    assert pair["adjusted"] == pair["p_value"]
    for member in comparison["members"]:
        (run,) = member["runs"]
        low, high = member["summary"]["ci95"]
        assert low <= run["accuracy"] <= high


def test_the_page_is_self_contained_and_the_terminal_names_the_choice(searched, capsys):
    _store, comparison = searched
    page = (comparison["folder"] / "comparison.html").read_text()
    assert page.count("<svg") == 1
    assert all(name in page for name in MEMBERS)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)|url\((?!#)|@import|<script""", page)
    assert "the test figures of all 2 finished networks are shown" in " ".join(page.split())
    assert show_comparison(comparison["folder"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"The validation texts choose {comparison['chosen']}" in printed
    assert str(comparison["folder"] / "comparison.html") in printed


def test_artifacts_list_their_comparisons_and_prefect_has_the_table(searched):
    store, comparison = searched
    users = {entry["key"]: entry["runs"] for entry in list_artifacts(store)}
    for member in comparison["members"]:
        assert comparison["folder"].name in users[member["runs"][0]["artifacts"]["train"]["key"]]
    with get_client(sync_client=True) as client:
        key = ArtifactFilterKey(any_=["imdb-pipeline-comparison"])
        assert client.read_artifacts(artifact_filter=ArtifactFilter(key=key))


def test_a_search_trains_epoch_by_epoch_and_tests_only_its_best_trial(searched):
    store, comparison = searched
    (trial,) = comparison["search"]["trials"]
    assert (trial["state"], len(trial["losses"])) == ("complete", 2)
    (found,) = [member for member in comparison["members"] if member["name"] == "trial 0"]
    assert [epoch["val_loss"] for epoch in found["runs"][0]["history"]] == trial["losses"]
    # Neither the first run's network nor the trial is trained again as a member.
    steps = [step for member in comparison["members"] for run in member["runs"] for step in run["steps"]]
    assert [step["cached"] for step in steps if step["name"] == "train"] == [True, True]
    # The search added two trainings, of one and of two epochs, and one scoring, of the best trial.
    assert len(list((store / "train").iterdir())) == 1 + 2
    assert len(list((store / "score").iterdir())) == 1 + 1
    page = " ".join((comparison["folder"] / "comparison.html").read_text().split())
    assert "only the one with the best validation loss was tested" in page


def test_a_search_does_not_resume_after_a_change_in_any_of_its_steps(imdb, monkeypatch):
    def raise_key(key):
        raise LookupError(key["code"])

    monkeypatch.setattr(flows.training, "digest", raise_key)
    with pytest.raises(LookupError) as caught:
        flows.training.search(of(imdb, **SEARCH), Artifact(key="download/0", files={}))
    steps = {f"module tasks.{name}" for name in ("encode", "pad", "phrases", "build", "train", "linear.out_of_fold")}
    assert steps | {"library sklearn", "library keras"} <= set(caught.value.args[0])


@pytest.mark.slow
def test_a_comparison_without_mlflow_completes_with_exit_status_3(imdb, trained, monkeypatch, caplog, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = of(imdb, cells=["simple_rnn"], tracking={"enabled": True})
    comparison = compare(trained, settings)
    assert "The run goes on, and tries again at its end." in caplog.text
    assert "the comparison is complete, but not logged there" in caplog.text
    assert show_comparison(comparison["folder"]) == 3
    assert "MLflow could not be used, as the log says; later, run the same again" in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert show_comparison(compare_flow(settings)) == 0


def test_a_failed_member_is_reported_and_the_others_finish(imdb, trained, monkeypatch, capsys):
    def fail(*_arguments, **_named):
        raise TrainingError("the loss is <not> a number")

    monkeypatch.setattr(Trainer, "fit_epoch", fail)
    comparison = compare(trained, of(imdb, cells=["simple_rnn", "lstm"], ways=["one"]))
    finished, failed = comparison["members"]
    assert (finished["name"], failed["name"]) == ("simple_rnn unidirectional", "lstm unidirectional")
    assert failed["failure"] == "train with seed 113: the loss is <not> a number"
    assert (failed["summary"], failed["runs"]) == (None, [])
    assert comparison["pairs"] == []
    assert "the loss is &lt;not&gt; a number" in (comparison["folder"] / "comparison.html").read_text()
    assert show_comparison(comparison["folder"]) == 1
    assert "lstm unidirectional failed: train with seed 113" in " ".join(capsys.readouterr().out.split())

    # In MLflow the comparison is a run, and each member is a child run.
    for _again in range(2):
        parent = log_once(comparison["folder"], small(imdb).tracking, None)
    client = MlflowClient(address_of(None), address_of(None))
    (experiment,) = [its for its in client.search_experiments() if its.name == "imdb-pipeline"]
    by_id = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    children = [run for run in by_id.values() if run.data.tags.get("mlflow.parentRunId") == parent]
    assert len(by_id) == 3, "the same comparison is logged once"
    assert {run.info.run_name: run.info.status for run in children} == {
        "lstm unidirectional": "FAILED",
        "simple_rnn unidirectional": "FINISHED",
    }
    good = next(run for run in children if run.info.status == "FINISHED")
    assert good.data.metrics["mean_accuracy"] == pytest.approx(finished["summary"]["accuracy"])
    assert good.data.params["model.units"] == "8"
    losses = client.get_metric_history(good.info.run_id, "val_loss")
    assert len(losses) == len(finished["runs"][0]["history"])
    assert {file.path for file in client.list_artifacts(parent)} == {
        "comparison.html",
        "comparison.json",
        "config.json",
        "figures",
    }
